"""A private PostgreSQL server, from Debian's binaries."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER = "postgres"
MISSING = "no PostgreSQL server: apt install postgresql"


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """A running server: its folder, and its first process."""

    folder: Path
    pid: int

    def url(self, database: str) -> str:
        """Return a database's URL, by the Unix socket."""
        return f"postgres://{_USER}@/{database}?host={self.folder}"

    def network_url(self, host: str, port: int, database: str) -> str:
        """Return a database's URL, by TCP."""
        return f"postgres://{_USER}@{host}:{port}/{database}"

    def restart(self) -> None:
        """Kill it and start it again: its connections break."""
        control = _binaries()[-1].parent / "pg_ctl"
        options = ("-w", "-s", "-m", "immediate", "-l", self.folder / "log")
        _run(self.folder, control, "restart", "-D", self.folder / "cluster", *options)


def is_there() -> bool:
    """Whether there are binaries."""
    return bool(_binaries())


@contextmanager
def running_postgresql(
    *databases: str, host: str = "", port: int = 5432
) -> Iterator[PostgreSQL]:
    """Run a server with these databases. Raises FileNotFoundError without binaries.

    It listens on a Unix socket and, if there is a ``host``, on that address, where it
    lets in everyone of the same network.
    """
    binaries = _binaries()
    if not binaries:
        raise FileNotFoundError(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="llmm-pg-"))
    control = binaries[-1].parent / "pg_ctl"
    cluster = folder / "cluster"
    _run(folder, control, "init", "-D", cluster, "-s", "-o", f"-U {_USER} -A trust")
    with (cluster / "pg_hba.conf").open("a") as file:
        file.write("host all all samenet trust\n")
    options = f"-c listen_addresses='{host}' -p {port} -c fsync=off -k {folder}"
    log = folder / "log"
    _run(folder, control, "start", "-w", "-s", "-D", cluster, "-l", log, "-o", options)
    try:
        where = ("-h", str(folder), "-p", str(port), "-U", _USER)
        for name in databases:
            _run(folder, control.parent / "createdb", *where, name)
        pid = int((cluster / "postmaster.pid").read_text().split()[0])
        yield PostgreSQL(folder, pid)
    finally:
        _run(folder, control, "stop", "-s", "-m", "immediate", "-D", cluster)
        shutil.rmtree(folder)


def _binaries() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def _run(folder: Path, *command: str | Path) -> None:
    """Run one of PostgreSQL's tools; none of them accepts to be root."""
    words: list[str | Path] = list(command)
    if os.geteuid() == 0:
        account = pwd.getpwnam(_USER)
        os.chown(folder, account.pw_uid, account.pw_gid)
        words = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
        words += command
    subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60)
