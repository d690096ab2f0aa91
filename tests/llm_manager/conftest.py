"""A launcher in a process of its own, on a data directory of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_STUBS = str(Path(__file__).with_name("launch_stubs.py"))


def clean_environment(**variables: str) -> dict[str, str]:
    """Return the environment of a child process, without settings of the outside."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LLM_MANAGER_")
        and name not in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    }
    kept["PYTHONPATH"] = f"{ROOT / 'platform'}{os.pathsep}{ROOT}"
    return kept | variables


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Launched:
    """A launcher with stub parts, and what can be seen of it from outside."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        self.folder = folder
        self.data_dir = data_dir
        self.port = free_port()
        self.log = folder / "parts.log"
        self.process: subprocess.Popen[str]

    def start(
        self,
        *arguments: str,
        engine: str = "engine",
        web: str = "web",
        **variables: str,
    ) -> None:
        """Start it; ``variables`` are added to its environment."""
        environment = clean_environment(
            LLM_MANAGER_DATA_DIR=str(self.data_dir),
            LLM_MANAGER_SERVER_PORT=str(self.port),
            LLM_MANAGER_ENGINE_DRAIN_TIMEOUT="0",
        )
        with (
            (self.folder / "stdout").open("w") as stdout,
            (self.folder / "stderr").open("w") as stderr,
        ):
            self.process = subprocess.Popen(
                [sys.executable, LAUNCH_STUBS, str(self.log), engine, web, *arguments],
                cwd=self.folder,
                env=environment | variables,
                stdout=stdout,
                stderr=stderr,
                text=True,
                # Like a command in a terminal, whose Ctrl-C goes to its group.
                process_group=0,
            )

    @property
    def stdout(self) -> str:
        """What it has printed."""
        return (self.folder / "stdout").read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """What it has complained of."""
        return (self.folder / "stderr").read_text(encoding="utf-8")

    @property
    def events(self) -> list[str]:
        """What the stub parts have noted, oldest first."""
        return self.log.read_text(encoding="utf-8").splitlines()

    def pid_of(self, part: str) -> int:
        """Return the latest process of a part."""
        starts = [line for line in self.events if line.startswith(f"{part} starts")]
        return int(starts[-1].split()[-1])

    def wait_until_ready(self) -> None:
        """Return when the banner is printed."""
        wait_until(lambda: "is ready" in self.stdout or self.process.poll() is not None)
        assert self.process.poll() is None, self.stderr

    def family(self) -> list[psutil.Process]:
        """Return every process below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for its end; return the exit status."""
        return self.process.wait(timeout_s)


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with all tables, made once."""
    data_dir = tmp_path_factory.mktemp("migrated")
    subprocess.run(
        [sys.executable, "-m", "llm_manager", "migrate", "--verbosity", "0"],
        cwd=data_dir,
        env=clean_environment(LLM_MANAGER_DATA_DIR=str(data_dir)),
        check=True,
    )
    return data_dir / "db.sqlite3"


@pytest.fixture
def data_dir(tmp_path: Path, migrated_database: Path) -> Path:
    """A data directory whose database is up to date."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    shutil.copyfile(migrated_database, data_dir / "db.sqlite3")
    return data_dir


@pytest.fixture
def make_launched(tmp_path: Path, data_dir: Path) -> Iterator[Callable[[], Launched]]:
    """Make launchers on one data directory; none of them outlives the test."""
    made: list[Launched] = []

    def make() -> Launched:
        folder = tmp_path / f"launcher-{len(made)}"
        folder.mkdir()
        made.append(Launched(folder, data_dir))
        return made[-1]

    yield make
    for launched in made:
        process = getattr(launched, "process", None)
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def launched(make_launched: Callable[[], Launched]) -> Launched:
    """A launcher that has not been started."""
    return make_launched()
