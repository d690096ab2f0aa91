"""A real web process: Daphne with the whole application, without an engine."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_manager.launcher.listening import accepts
from tests.llm_manager.conftest import clean_environment, free_port
from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

#: Too little for a test to wait for, enough for a request on a busy machine.
RECEIVE_TIMEOUT_S = 4
_RECEIVE_TIMEOUT = "LLM_MANAGER_SERVER_RECEIVE_TIMEOUT"
_MAKE_KEYS = """
import django

django.setup()

from tests.factories import make_api_key

print(make_api_key()[1], make_api_key()[1])
"""


@dataclass(frozen=True, slots=True)
class WebProcess:
    """A running web process, and two keys that it accepts."""

    port: int
    pid: int
    key: str
    other_key: str
    log: Path

    def connect(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, request: bytes) -> bytes:
        """Send raw bytes; return all that comes until the connection is closed."""
        with self.connect() as peer:
            peer.sendall(request)
            return b"".join(iter(lambda: peer.recv(2**20), b""))

    def memory(self) -> int:
        """Return the bytes that the process and its children hold in memory."""
        process = psutil.Process(self.pid)
        family = [process, *process.children()]
        return sum(int(each.memory_info().rss) for each in family)


@pytest.fixture(scope="module")
def web_process(
    tmp_path_factory: pytest.TempPathFactory, migrated_database: Path
) -> Iterator[WebProcess]:
    """A web process with the defaults, but for the time that a request may take."""
    with _web_process(tmp_path_factory.mktemp("web"), migrated_database) as web:
        yield web


@pytest.fixture
def make_web_process(
    tmp_path: Path, migrated_database: Path
) -> Callable[..., AbstractContextManager[WebProcess]]:
    """Return what starts a web process with other settings."""

    def make(**settings: str) -> AbstractContextManager[WebProcess]:
        return _web_process(tmp_path, migrated_database, **settings)

    return make


@contextmanager
def _web_process(folder: Path, database: Path, **settings: str) -> Iterator[WebProcess]:
    data_dir = folder / "data"
    data_dir.mkdir(mode=0o700)
    (data_dir / "db.sqlite3").write_bytes(database.read_bytes())
    environment = clean_environment(
        LLM_MANAGER_DATA_DIR=str(data_dir),
        LLM_MANAGER_SERVER_RATE_LIMIT="0",
        **{_RECEIVE_TIMEOUT: str(RECEIVE_TIMEOUT_S), **settings},
    )
    made = subprocess.run(
        [sys.executable, "-c", _MAKE_KEYS],
        env={**environment, "DJANGO_SETTINGS_MODULE": "llm_manager.settings"},
        check=True,
        capture_output=True,
        text=True,
    )
    key, other_key = made.stdout.split()
    port = free_port()
    log = folder / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "llm_manager", "web", "--port", str(port)],
            env=environment,
            stderr=stderr,
        )
    try:
        wait_until(lambda: accepts(("127.0.0.1", port)))
        yield WebProcess(port, process.pid, key, other_key, log)
    finally:
        process.kill()
        process.wait()
