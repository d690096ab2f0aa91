"""Agents of the command line from npm, in folders of their own, on a scripted model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clients.node_scripts import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.whole_server import Server

#: Seconds of one run of an agent.
_TIMEOUT_S = 300
_ACCESS = re.compile(r"llm_manager\.access: (\S+) (\S+) (\d+) ")


@dataclass(frozen=True, slots=True)
class Desk:
    """Where one agent works: a folder with a file, its own home, and the server."""

    server: Server
    folder: Path
    home: Path
    log: Path
    log_begin: int
    until: Callable[[Callable[[], bool], str], None]

    @property
    def file(self) -> Path:
        """The file that it is asked to change."""
        return self.folder / "greeting.txt"

    @property
    def address(self) -> str:
        """The server's address, without a path."""
        return f"http://{self.server.host}:{self.server.port}"

    def run(
        self, program: str, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of node_modules with nothing of this environment's but PATH."""
        node = Path(sys.executable).with_name("node")
        return subprocess.run(
            [node, FOLDER / "node_modules" / program, *arguments],
            cwd=self.folder,
            env={
                "PATH": os.pathsep.join([str(node.parent), os.environ["PATH"]]),
                "HOME": str(self.home),
                "TMPDIR": str(self.home),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )

    def requests(self) -> list[tuple[str, int]]:
        """Return what the server was asked here, and how it answered."""
        text = self.log.read_bytes()[self.log_begin :].decode("utf-8", "replace")
        return [
            (f"{method} {path}", int(status))
            for method, path, status in _ACCESS.findall(text)
        ]

    def expect(self, request: str, times: int) -> None:
        """Wait until it was sent so often; raise if any request was not answered.

        The server writes its log when an answer has ended: the agent may be faster.
        """
        self.until(
            lambda: [sent for sent, _ in self.requests()].count(request) >= times,
            f"{times} times {request}",
        )
        assert {status for _, status in self.requests()} == {200}


def call(name: str, arguments: str) -> str:
    """Return a call of a tool as the scripted model writes it."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'
