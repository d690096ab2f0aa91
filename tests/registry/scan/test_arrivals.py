"""Which files a look finds, and which of them it waits for."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from registry.scan.arrivals import Arrivals, arrivals, files_under
from registry.scan.scanner import KnownModel
from tests.gguf_files import write_gguf, write_shards

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def settled(path: Path, age_s: float = 60) -> Path:
    """Make a file one that was last written to a while ago."""
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def look(folder: Path, *known: KnownModel, **how: Any) -> Arrivals:
    return arrivals(files_under([folder]), known, **how)


def known(path: Path) -> KnownModel:
    status = path.stat()
    return KnownModel(
        pk=1,
        name=path.stem,
        paths=(str(path),),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        fingerprint="",
        is_found=True,
    )


def test_a_new_file_and_a_changed_one_have_arrived_and_a_known_one_has_not(
    tmp_path: Path,
) -> None:
    new = settled(write_gguf(tmp_path / "new.gguf"))
    same = known(settled(write_gguf(tmp_path / "same.gguf")))
    changed = settled(write_gguf(tmp_path / "changed.gguf"))
    before = known(changed)
    settled(changed, age_s=30)
    assert look(tmp_path, same, before) == Arrivals(whole=(changed, new))


def test_a_file_that_was_written_to_just_now_is_waited_for(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "new.gguf")
    assert look(tmp_path) == Arrivals(growing=(path,))
    settled(path, age_s=1.5)
    assert look(tmp_path) == Arrivals(whole=(path,))


def test_a_file_from_a_machine_whose_clock_is_ahead_is_not_waited_for(
    tmp_path: Path,
) -> None:
    path = settled(write_gguf(tmp_path / "new.gguf"), age_s=-3600)
    assert look(tmp_path).whole == (path,)


def test_half_a_file_has_not_arrived(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "half.gguf")
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert look(settled(path).parent) == Arrivals(), size
    path.write_bytes(whole)
    assert look(settled(path).parent).whole == (path,)


def test_a_download_that_has_its_whole_size_before_its_content_is_waited_for(
    tmp_path: Path,
) -> None:
    path = settled(write_gguf(tmp_path / "new.gguf"))
    control = tmp_path / "new.gguf.aria2"
    control.touch()
    assert look(tmp_path) == Arrivals()
    control.unlink()
    assert look(tmp_path).whole == (path,)


def test_shards_have_arrived_when_all_are_there(tmp_path: Path) -> None:
    write_shards(tmp_path, "big", 3, leave_out=[2])
    for path in tmp_path.iterdir():
        settled(path)
    assert look(tmp_path) == Arrivals()
    write_shards(tmp_path, "big", 3)
    assert [path.name for path in look(tmp_path).growing] == ["big-00001-of-00003.gguf"]


def test_a_look_for_a_name_reads_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settled(write_gguf(tmp_path / "wanted é.gguf"))
    settled(write_gguf(tmp_path / "other.gguf"))
    for name in ("wanted é.gguf", "wanted é", "models/wanted é", "wanted e\u0301"):
        assert look(tmp_path, name=name).whole == (path,), name
    for name in ("wanted", "wanted é.bin", "/wanted é/"):
        assert look(tmp_path, name=name) == Arrivals(), name
