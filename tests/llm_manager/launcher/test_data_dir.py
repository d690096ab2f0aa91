"""The data directory: made, locked, written at once."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_manager.launcher import data_dir as data
from llm_manager.launcher.errors import StartupError
from tests.llm_manager.conftest import clean_environment


def test_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    data.prepare(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StartupError, match="is a file; choose another"):
        data.prepare(tmp_path / "data")


def test_unwritable_directory_is_one_sentence() -> None:
    # /proc refuses root, too.
    with pytest.raises(StartupError) as caught:
        data.prepare(Path("/proc/data"))
    assert str(caught.value) == (
        "The data directory /proc/data cannot be written (No such file or directory); "
        "choose another with --data-dir."
    )


def test_lock_is_held_against_others_and_let_go(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from llm_manager.launcher import data_dir\n"
        "with data_dir.locked(Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with data.locked(tmp_path):
        refused = subprocess.run(
            command,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert f"(process {os.getpid()})" in refused.stderr
    subprocess.run(command, env=clean_environment(), check=True)


def test_private_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    data.write_private(file, "first")
    data.write_private(file, "second")
    assert file.read_text(encoding="utf-8") == "second"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    data.write_private(file, "first")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("llm_manager.launcher.data_dir.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        data.write_private(file, "second")
    assert file.read_text(encoding="utf-8") == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_space_is_asked_for_before_it_is_used(tmp_path: Path) -> None:
    data.require_space(tmp_path, 1)
    with pytest.raises(StartupError) as caught:
        data.require_space(tmp_path, 1 << 60)
    assert re.fullmatch(
        rf"The disk is full: {tmp_path} has \d+ MiB left, and \d+ MiB are needed\.",
        str(caught.value),
    )
