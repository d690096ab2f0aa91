"""An MCP server of the ``mcp`` package, in a process of its own.

``python -m tests.mcp_server LOG`` prints its port. Each call is a line of the log: its
tool and its arguments; ``authorization`` headers are lines too. It needs no package of
the project.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class RunningMcpServer:
    """A server that runs, and its log."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def tool(self, **members: Any) -> dict[str, Any]:
        """Return it as a tool of a request."""
        return {
            "type": "mcp",
            "server_label": "shop",
            "server_url": self.url,
            "require_approval": "never",
            **members,
        }

    def calls(self) -> list[str]:
        """Return the calls so far."""
        return [each for each in self._lines() if not each.startswith("authorization ")]

    def tokens(self) -> set[str]:
        """Return the authorizations that came."""
        lines = (each.partition("authorization ")[2] for each in self._lines())
        return {each for each in lines if each}

    def forget(self) -> None:
        self.log.write_text("")

    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines()


@contextmanager
def mcp_server(log: Path) -> Iterator[RunningMcpServer]:
    """Run a server until the end of the block."""
    log.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.mcp_server", str(log)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield RunningMcpServer(int(process.stdout.readline()), log)
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def main() -> None:
    """Serve until a signal comes."""
    import uvicorn
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.types import ToolAnnotations

    log = Path(sys.argv[1])

    def note(line: str) -> None:
        with log.open("a") as sink:
            sink.write(f"{line}\n")

    server = MCPServer("shop", log_level="ERROR")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def price(item: str) -> str:
        """Say what an item costs."""
        note(f"price {item}")
        return f"{item} costs 7 euros"

    @server.tool()
    def order(item: str, count: int = 1) -> str:
        """Order items."""
        note(f"order {item} {count}")
        return f"{count} {item} ordered"

    @server.tool()
    async def wait(item: str) -> str:
        """Wait for ever."""
        note(f"wait {item}")
        try:
            await asyncio.sleep(600)
        except BaseException:
            note(f"given up {item}")
            raise
        return item

    @server.tool()
    def flood(size: int) -> str:
        """Return a long text."""
        note(f"flood {size}")
        return "x" * size

    @server.tool()
    def fail(item: str) -> str:
        """Fail."""
        note(f"fail {item}")
        raise ToolError(f"no {item} left")

    app = server.streamable_http_app()

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        for name, value in scope.get("headers", ()):
            if name == b"authorization":
                note(f"authorization {value.decode()}")
        await app(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(noting, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
