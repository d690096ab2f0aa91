"""A private PostgreSQL server for tests, from Debian's binaries."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER = "postgres"


@contextmanager
def running_postgresql(*databases: str) -> Iterator[str]:
    """Start a server with these databases; yield its URL with {} for the name.

    It listens on a Unix socket. Skips the test where there is no PostgreSQL.
    """
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        pytest.skip("no PostgreSQL server: apt install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="llmm-pg-"))
    control = binaries[-1].parent / "pg_ctl"
    cluster = folder / "cluster"
    run(folder, control, "init", "-D", cluster, "-s", "-o", f"-U {_USER} -A trust")
    options = f"-c listen_addresses='' -c fsync=off -k {folder}"
    log = folder / "log"
    run(folder, control, "start", "-w", "-s", "-D", cluster, "-l", log, "-o", options)
    try:
        for name in databases:
            run(folder, control.parent / "createdb", "-h", folder, "-U", _USER, name)
        yield f"postgres://{_USER}@/{{}}?host={folder}"
    finally:
        run(folder, control, "stop", "-s", "-m", "immediate", "-D", cluster)
        shutil.rmtree(folder)


def run(folder: Path, *command: str | Path) -> None:
    """Run one of PostgreSQL's tools; none of them accepts to be root."""
    words: list[str | Path] = list(command)
    if os.geteuid() == 0:
        account = pwd.getpwnam(_USER)
        os.chown(folder, account.pw_uid, account.pw_gid)
        words = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
        words += command
    subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60)
