"""Disk against memory: new, changed, moved, missing, unreadable. No database."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from registry.scan import files as model_files
from registry.scan import scanner
from registry.scan.scanner import (
    Comparison,
    DiskScan,
    KnownModel,
    ScanEntry,
    ScanOutcome,
    ScanReport,
    compare,
    scan,
)
from tests.gguf_files import llama_fields, write_gguf, write_shards

if TYPE_CHECKING:
    import pytest


def remember(disk: DiskScan) -> list[KnownModel]:
    """Return what a registry knows after it has recorded what was read."""
    return [
        KnownModel(
            pk=number,
            name=found.files.stem,
            paths=found.files.paths,
            size=found.files.size,
            mtime_ns=found.files.mtime_ns,
            fingerprint=found.fingerprint,
            is_found=True,
        )
        for number, found in enumerate(disk.read, start=1)
    ]


def scanned(folder: Path, known: list[KnownModel]) -> Comparison:
    return compare(scan([folder], known), known)


def named(name: str, folder: Path) -> Path:
    """Write a model whose content is its own."""
    return write_gguf(folder / f"{name}.gguf", llama_fields({"general.name": name}))


def reasons(result: Comparison) -> dict[str, str]:
    return {change.known.name: change.reason for change in result.changed}


def names(models: list[KnownModel]) -> list[str]:
    return sorted(model.name for model in models)


def test_an_unknown_file_is_new(tmp_path: Path) -> None:
    named("a", tmp_path)
    result = scanned(tmp_path, [])
    assert [found.files.stem for found in result.new] == ["a"]


def test_unchanged_files_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named("a", tmp_path)
    write_shards(tmp_path, "big", 2)
    known = remember(scan([tmp_path], []))
    monkeypatch.setattr(scanner, "read_model", None)
    assert names(scanned(tmp_path, known).unchanged) == ["a", "big"]


def test_new_content_is_a_change(tmp_path: Path) -> None:
    path = named("a", tmp_path)
    known = remember(scan([tmp_path], []))
    write_gguf(path, llama_fields({"llama.context_length": 4096}))
    result = scanned(tmp_path, known)
    assert reasons(result) == {"a": "the content changed"}
    assert result.changed[0].found.description.context_length == 4096


def test_a_new_time_alone_is_not_new_content(tmp_path: Path) -> None:
    path = named("a", tmp_path)
    known = remember(scan([tmp_path], []))
    os.utime(path, ns=(1, 1))
    assert reasons(scanned(tmp_path, known)) == {
        "a": "only the modification time changed"
    }


def test_a_file_that_is_gone_is_missing(tmp_path: Path) -> None:
    path = named("a", tmp_path)
    known = remember(scan([tmp_path], []))
    path.unlink()
    assert names(scanned(tmp_path, known).missing) == ["a"]


def test_a_file_that_was_missing_and_is_there_is_back(tmp_path: Path) -> None:
    named("a", tmp_path)
    known = [replace(each, is_found=False) for each in remember(scan([tmp_path], []))]
    assert reasons(scanned(tmp_path, known)) == {"a": "the file is back"}


def test_a_file_in_another_folder_or_under_another_name_moved(tmp_path: Path) -> None:
    paths = [named(name, tmp_path) for name in ("a", "b")]
    known = remember(scan([tmp_path], []))
    (tmp_path / "sub").mkdir()
    paths[0].rename(tmp_path / "sub" / "a.gguf")
    paths[1].rename(tmp_path / "renamed.gguf")
    result = scanned(tmp_path, known)
    assert reasons(result) == {
        "a": f"moved from {paths[0]}",
        "b": f"moved from {paths[1]}",
    }
    assert (result.new, result.missing) == ([], [])


def test_a_file_that_moved_while_it_was_missing_is_the_same(tmp_path: Path) -> None:
    path = named("a", tmp_path)
    known = [replace(each, is_found=False) for each in remember(scan([tmp_path], []))]
    path.rename(tmp_path / "b.gguf")
    assert reasons(scanned(tmp_path, known)) == {"a": f"moved from {path}"}


def test_a_copy_is_new_and_the_original_unchanged(tmp_path: Path) -> None:
    path = named("a", tmp_path)
    known = remember(scan([tmp_path], []))
    (tmp_path / "b.gguf").write_bytes(path.read_bytes())
    result = scanned(tmp_path, known)
    assert names(result.unchanged) == ["a"]
    assert [found.files.stem for found in result.new] == ["b"]


def test_of_two_copies_that_went_the_one_of_the_same_name_moved(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_gguf(tmp_path / f"{name}.gguf")
    known = remember(scan([tmp_path], []))
    (tmp_path / "x.gguf").unlink()
    (tmp_path / "sub").mkdir()
    (tmp_path / "y.gguf").rename(tmp_path / "sub" / "y.gguf")
    result = scanned(tmp_path, known)
    assert list(reasons(result)) == ["y"]
    assert names(result.missing) == ["x"]


def test_a_file_from_a_folder_that_is_not_scanned_moved_if_it_is_gone(
    tmp_path: Path,
) -> None:
    path = named("a", tmp_path / "one")
    known = remember(scan([tmp_path], []))
    two = tmp_path / "two"
    two.mkdir()
    path.rename(two / "a.gguf")
    assert reasons(scanned(two, known)) == {"a": f"moved from {path}"}


def test_only_models_under_the_scanned_folder_can_be_missing(tmp_path: Path) -> None:
    paths = [named("a", tmp_path / "one"), named("b", tmp_path / "two")]
    known = remember(scan([tmp_path], []))
    for path in paths:
        path.unlink()
    assert names(scanned(tmp_path / "one", known).missing) == ["a"]


def test_one_file_can_be_scanned_without_losing_the_others(tmp_path: Path) -> None:
    path = named("a", tmp_path)
    named("b", tmp_path)
    known = remember(scan([tmp_path], []))
    write_gguf(path, llama_fields({"llama.context_length": 4096}))
    result = scanned(path, known)
    assert (list(reasons(result)), result.missing, result.new) == (["a"], [], [])


def test_one_shard_stands_for_its_set(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, "big", 3)
    found = scan([paths[1]], []).read
    assert [each.files.paths for each in found] == [tuple(map(str, paths))]


def test_a_known_file_that_broke_is_unreadable_and_not_missing(tmp_path: Path) -> None:
    path = named("a", tmp_path)
    known = remember(scan([tmp_path], []))
    os.truncate(path, 100)
    result = scanned(tmp_path, known)
    assert names(result.unreadable) == ["a"]
    assert result.missing == []


def test_a_known_set_that_lost_a_shard_is_unreadable(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, "big", 3)
    known = remember(scan([tmp_path], []))
    paths[0].unlink()
    result = scanned(tmp_path, known)
    assert names(result.unreadable) == ["big"]
    assert result.missing == []


def test_models_in_a_folder_that_cannot_be_read_are_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named("a", tmp_path / "locked" / "deep")
    known = remember(scan([tmp_path], []))
    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    result = scanned(tmp_path, known)
    assert (names(result.unreadable), result.missing) == (["a"], [])


def test_models_of_a_folder_that_is_not_mounted_are_not_missing(tmp_path: Path) -> None:
    named("a", tmp_path / "disk")
    known = remember(scan([tmp_path / "disk"], []))
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    disk = scan([tmp_path / "disk"], known)
    assert [each.reason for each in disk.unusable] == ["no such file or directory"]
    result = compare(disk, known)
    assert (names(result.unreadable), result.missing) == (["a"], [])


def test_a_file_without_permission_is_refused_with_that_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deny(monkeypatch, named("a", tmp_path))
    named("b", tmp_path)
    disk = scan([tmp_path], [])
    assert [each.reason for each in disk.unusable] == ["permission denied"]
    assert [each.files.stem for each in disk.read] == ["b"]


def test_a_known_file_that_lost_its_permission_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = named("a", tmp_path)
    known = remember(scan([tmp_path], []))
    deny(monkeypatch, path)
    result = scanned(tmp_path, known)
    assert (names(result.unreadable), result.unchanged) == (["a"], [])


def deny(monkeypatch: pytest.MonkeyPatch, denied: Path) -> None:
    """Take the permission to read a file away, from root too."""
    system_open, system_access = os.open, os.access

    def refuse(path: str, flags: int) -> int:
        if path == str(denied):
            raise PermissionError(13, "Permission denied", path)
        return system_open(path, flags)

    def access(path: str, mode: int) -> bool:
        return path != str(denied) and system_access(path, mode)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "access", access)


def test_a_file_that_vanishes_before_it_is_read_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = named("a", tmp_path)
    known = remember(scan([tmp_path], []))
    os.utime(path, ns=(1, 1))
    read = model_files.read_model

    def vanish(files: model_files.ModelFiles) -> model_files.ReadModel:
        path.unlink()
        return read(files)

    monkeypatch.setattr(scanner, "read_model", vanish)
    disk = scan([tmp_path], known)
    assert (disk.read, disk.unusable) == ((), ())
    assert names(compare(disk, known).missing) == ["a"]


def test_a_shard_that_vanishes_before_it_is_read_makes_its_set_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = write_shards(tmp_path, "big", 3)[2]
    read = model_files.read_model

    def vanish(files: model_files.ModelFiles) -> model_files.ReadModel:
        last.unlink()
        return read(files)

    monkeypatch.setattr(scanner, "read_model", vanish)
    (refusal,) = scan([tmp_path], []).unusable
    assert refusal.reason == "no such file or directory"


def test_what_another_scan_recorded_meanwhile_is_unchanged(tmp_path: Path) -> None:
    named("a", tmp_path)
    disk = scan([tmp_path], [])
    result = compare(disk, remember(disk))
    assert (names(result.unchanged), result.new, result.changed) == (["a"], [], [])


def test_what_another_scan_deleted_meanwhile_is_left_to_the_next(
    tmp_path: Path,
) -> None:
    named("a", tmp_path)
    disk = scan([tmp_path], remember(scan([tmp_path], [])))
    assert compare(disk, []) == Comparison()


def test_progress_counts_every_model(tmp_path: Path) -> None:
    paths = [named("a", tmp_path), named("b", tmp_path)]
    (tmp_path / "c.gguf").write_bytes(b"broken")
    calls: list[tuple[int, int, str]] = []
    scan([tmp_path], [], lambda *call: calls.append(call))
    assert calls == [
        (1, 3, str(paths[0])),
        (2, 3, str(paths[1])),
        (3, 3, str(tmp_path / "c.gguf")),
    ]


def test_a_report_counts_by_outcome_and_leaves_out_what_is_not_said() -> None:
    entries = (
        ScanEntry("/m/a.gguf", ScanOutcome.NEW, "a"),
        ScanEntry("/m/b", ScanOutcome.UNREADABLE),
    )
    report = ScanReport(("/m",), entries, 7, 0, is_dry_run=True, duration_s=0.1234)
    assert report.as_json() == {
        "roots": ["/m"],
        "dry_run": True,
        "duration_s": 0.123,
        "counts": {
            "new": 1,
            "changed": 0,
            "unchanged": 7,
            "missing": 0,
            "unreadable": 1,
        },
        "pruned": 0,
        "entries": [
            {"path": "/m/a.gguf", "outcome": "new", "name": "a"},
            {"path": "/m/b", "outcome": "unreadable"},
        ],
    }
