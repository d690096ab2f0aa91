"""Prefixes as files: private, whole or not there, and bounded."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from inference.engine.prefix_cache.prefix_files import PrefixFolder

if TYPE_CHECKING:
    from pathlib import Path

MODEL, OTHER_MODEL = b"m" * 32, b"n" * 32
SCOPE, OTHER_SCOPE = b"r" * 32, b"s" * 32
STATE = bytes(range(256)) * 16


def folder_in(path: Path, model: bytes = MODEL, max_bytes: int = 10**6) -> PrefixFolder:
    return PrefixFolder(path / "cache", model=model, max_bytes=max_bytes)


def written(folder: PrefixFolder, tokens: list[int], scope: bytes = SCOPE) -> str:
    name = folder.write(scope, tokens, STATE)
    assert name is not None
    return name


def files_in(path: Path) -> list[Path]:
    return sorted((path / "cache").iterdir())


def test_what_was_written_is_there_for_the_next_worker(tmp_path: Path) -> None:
    name = written(folder_in(tmp_path), [1, 2, 3])

    again = folder_in(tmp_path)

    (head,) = again.headers()
    assert (head.name, head.scope, head.tokens) == (name, SCOPE, [1, 2, 3])
    assert again.read(name, SCOPE) == STATE


def test_what_another_model_or_another_owner_has_left_is_not_found(
    tmp_path: Path,
) -> None:
    folder = folder_in(tmp_path)
    name = written(folder, [1, 2, 3])
    assert list(folder_in(tmp_path, OTHER_MODEL).headers()) == []
    assert files_in(tmp_path), "it is the other model's, so it stays"
    assert folder.read(name, OTHER_SCOPE) is None


def test_nobody_else_can_read_it_and_the_name_reveals_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    written(folder_in(tmp_path), [1, 2, 3])
    (file,) = files_in(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert SCOPE.hex()[:8] not in file.name


@pytest.mark.parametrize("at", [0, 8, 50, 60, 100, 130, -1])
def test_a_changed_file_is_removed_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at: int
) -> None:
    folder = folder_in(tmp_path)
    name = written(folder, [1, 2, 3])
    (file,) = files_in(tmp_path)
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)

    found = [folder.read(each.name, SCOPE) for each in folder.headers()]

    assert found in ([], [None])
    assert files_in(tmp_path) == []
    assert name in caplog.text


@pytest.mark.parametrize("data", [b"", b"LLMKVP1\0", b"x" * 5000])
def test_an_invalid_file_is_removed(tmp_path: Path, data: bytes) -> None:
    folder = folder_in(tmp_path)
    written(folder, [1])
    (file,) = files_in(tmp_path)
    file.write_bytes(data)
    assert list(folder.headers()) == []
    assert files_in(tmp_path) == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    name = written(folder, [1])
    (file,) = files_in(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert folder.read(name, SCOPE) is None
    assert elsewhere.exists()


def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    folder = folder_in(tmp_path, max_bytes=3 * (len(STATE) + 200))
    first, second, third = (written(folder, [n]) for n in range(3))
    for age, name in enumerate((third, second, first)):
        os.utime(tmp_path / "cache" / name, (1000 - age, 1000 - age))
    assert folder.read(first, SCOPE) == STATE, "which counts as used"

    fourth = written(folder, [4])

    assert {file.name for file in files_in(tmp_path)} == {first, third, fourth}
    assert folder.read(second, SCOPE) is None


def test_what_is_larger_than_all_may_be_is_not_written(tmp_path: Path) -> None:
    folder = folder_in(tmp_path, max_bytes=len(STATE))
    assert folder.write(SCOPE, [1], STATE) is None
    assert files_in(tmp_path) == []


def test_old_unfinished_files_are_removed_and_new_ones_are_not(
    tmp_path: Path,
) -> None:
    folder = folder_in(tmp_path)
    for name, age in (("old", 10_000), ("new", 0)):
        file = tmp_path / "cache" / f"{name}.kvprefix-unfinished"
        file.write_bytes(b"")
        used = file.stat().st_mtime - age
        os.utime(file, (used, used))
    folder.remove_lost()
    assert [file.name for file in files_in(tmp_path)] == ["new.kvprefix-unfinished"]


def test_files_that_are_not_the_caches_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    other = tmp_path / "cache" / "thesis.txt"
    other.write_text("mine")
    folder = folder_in(tmp_path, max_bytes=len(STATE) + 200)
    written(folder, [1])
    written(folder, [2])
    assert other.read_text() == "mine"
