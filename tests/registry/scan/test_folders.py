"""Walking folders of other people's: what is found, what is refused, and why."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from registry.scan import folders
from registry.scan.folders import find_files, is_under, resolve_root


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF")
    return path


def found(*roots: Path) -> list[str]:
    """Return the paths of the files under some roots, from the first root on."""
    walk = find_files([resolve_root(root) for root in roots])
    return [os.path.relpath(file.path, resolve_root(roots[0])) for file in walk.files]


def refused(*roots: Path) -> dict[str, str]:
    """Return why paths were refused, from the first root on."""
    top = resolve_root(roots[0])
    return {
        os.path.relpath(refusal.path, top): refusal.reason
        for refusal in find_files([resolve_root(root) for root in roots]).unusable
    }


def test_files_are_found_in_all_folders_in_the_order_of_their_paths(
    tmp_path: Path,
) -> None:
    for name in ("b.gguf", "a/z.gguf", "a/b/c/d.gguf", "a/notes.txt", "README.md"):
        touch(tmp_path / name)
    assert found(tmp_path) == ["a/b/c/d.gguf", "a/z.gguf", "b.gguf"]
    assert refused(tmp_path) == {}


def test_a_file_has_its_size_and_its_time(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.gguf")
    os.utime(path, ns=(1, 123_456_789))
    file = find_files([tmp_path]).files[0]
    assert (file.size, file.mtime_ns) == (4, 123_456_789)


def test_the_suffix_may_be_in_upper_case(tmp_path: Path) -> None:
    touch(tmp_path / "A.GGUF")
    assert found(tmp_path) == ["A.GGUF"]


def test_a_folder_may_have_the_name_of_a_model(tmp_path: Path) -> None:
    touch(tmp_path / "llama.gguf" / "a.gguf")
    assert found(tmp_path) == ["llama.gguf/a.gguf"]


def test_names_that_begin_with_a_dot_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path / ".cache" / "a.gguf")
    touch(tmp_path / "._b.gguf")
    assert found(tmp_path) == []


def test_a_root_may_have_a_name_that_begins_with_a_dot(tmp_path: Path) -> None:
    touch(tmp_path / ".models" / "a.gguf")
    assert found(tmp_path / ".models") == ["a.gguf"]


def test_a_root_may_be_a_file(tmp_path: Path) -> None:
    touch(tmp_path / "b.gguf")
    walk = find_files([resolve_root(touch(tmp_path / "a.gguf"))])
    assert [file.path for file in walk.files] == [str(tmp_path / "a.gguf")]


def test_a_root_is_found_in_the_other_normal_form(tmp_path: Path) -> None:
    touch(tmp_path / "e\u0301.gguf")
    walk = find_files([resolve_root(tmp_path / "\u00e9.gguf")])
    assert [Path(file.path).name for file in walk.files] == ["e\u0301.gguf"]


def test_a_root_that_is_no_model_is_refused(tmp_path: Path) -> None:
    root = touch(tmp_path / "a.txt")
    assert refused(tmp_path, root) == {"a.txt": "the name does not end in .gguf"}


def test_a_root_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, tmp_path / "no") == {"no": "no such file or directory"}


def test_roots_that_overlap_give_each_file_once(tmp_path: Path) -> None:
    touch(tmp_path / "sub" / "a.gguf")
    roots = (tmp_path, tmp_path / "sub", tmp_path, tmp_path / "sub" / "a.gguf")
    assert found(*roots) == ["sub/a.gguf"]


def test_a_root_that_is_a_link_is_the_folder_it_leads_to(tmp_path: Path) -> None:
    touch(tmp_path / "real" / "a.gguf")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    root = resolve_root(tmp_path / "link")
    assert [file.path for file in find_files([root]).files] == [
        str(tmp_path / "real" / "a.gguf")
    ]


def test_a_file_that_is_named_by_its_link_keeps_the_name_of_the_link(
    tmp_path: Path,
) -> None:
    blob = tmp_path / "blobs" / "sha256-1234"
    touch(blob)
    link = tmp_path / "a.gguf"
    link.symlink_to(blob)
    walk = find_files([resolve_root(link)])
    assert [file.path for file in walk.files] == [str(link)]


# Links ------------------------------------------------------------------------


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "m.gguf")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "c")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    assert found(tmp_path) == ["a/m.gguf"]
    assert refused(tmp_path) == {}


def test_each_link_to_a_file_is_a_file_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path / "z" / "m.gguf")
    (tmp_path / "a").symlink_to(tmp_path / "z")
    (tmp_path / "b.gguf").symlink_to(tmp_path / "z" / "m.gguf")
    assert found(tmp_path) == ["b.gguf", "z/m.gguf"]


def test_a_link_to_a_file_without_the_suffix_is_that_model(tmp_path: Path) -> None:
    blob = touch(tmp_path / "blobs" / "sha256-1234")
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "m.gguf").symlink_to(blob)
    assert found(tmp_path) == ["snapshots/m.gguf"]


def test_a_link_between_two_roots_is_followed(tmp_path: Path) -> None:
    touch(tmp_path / "two" / "m.bin")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "m.gguf").symlink_to(tmp_path / "two" / "m.bin")
    assert found(tmp_path / "one", tmp_path / "two") == ["m.gguf"]


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    outside = touch(tmp_path / "outside" / "secret.gguf")
    root = tmp_path / "models"
    root.mkdir()
    (root / "a.gguf").symlink_to(outside)
    (root / "folder").symlink_to(outside.parent)
    (root / "notes.txt").symlink_to(outside)
    # A name that begins like the root's is another folder.
    sibling = touch(tmp_path / "models-other" / "b.gguf")
    (root / "b.gguf").symlink_to(sibling)
    reason = "the symlink leads out of the models directory"
    assert found(root) == []
    assert refused(root) == {"a.gguf": reason, "folder": reason, "b.gguf": reason}


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").symlink_to(tmp_path / "gone.gguf")
    (tmp_path / "self.gguf").symlink_to(tmp_path / "self.gguf")
    (tmp_path / "notes").symlink_to(tmp_path / "gone")
    assert refused(tmp_path) == {
        "a.gguf": "the symlink is broken",
        "self.gguf": "too many levels of symbolic links",
    }


# What is no file ----------------------------------------------------------------


def test_pipes_sockets_and_devices_are_refused_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "device.gguf").symlink_to("/dev/null")
    # A socket's path has at most 107 bytes.
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.gguf")
    finally:
        os.chdir(here)
    assert found(tmp_path) == []
    assert refused(tmp_path) == {
        "pipe.gguf": "not a file but a pipe",
        "socket.gguf": "not a file but a socket",
        "device.gguf": "the symlink leads out of the models directory",
    }


def test_a_device_is_refused() -> None:
    walk = find_files([Path("/dev")])
    assert walk.files == []


def test_names_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    top = os.fsencode(tmp_path)
    Path(os.fsdecode(top + b"/bad\xff.gguf")).write_bytes(b"GGUF")
    touch(Path(os.fsdecode(top + b"/dir\xfe")) / "a.gguf")
    assert found(tmp_path) == []
    assert refused(tmp_path) == {
        "bad\\xff.gguf": "the name is not UTF-8",
        "dir\\xfe": "the name is not UTF-8",
    }


def test_a_path_longer_than_its_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path
    while len(str(path)) < folders.MAX_PATH_LENGTH:
        path /= "d" * 100
    touch(path / "a.gguf")
    assert found(tmp_path) == []
    assert list(refused(tmp_path).values()) == [
        "the path is longer than 1024 characters"
    ]


def test_more_files_than_a_scan_takes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MAX_FILES", 2)
    for name in ("a.gguf", "b.gguf", "c.gguf"):
        touch(tmp_path / name)
    assert found(tmp_path) == ["a.gguf", "b.gguf"]
    assert refused(tmp_path) == {"c.gguf": "more than 2 files in one scan"}


# What cannot be read --------------------------------------------------------------


def test_a_folder_that_cannot_be_read_is_refused_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "locked" / "a.gguf")
    touch(tmp_path / "open" / "b.gguf")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert found(tmp_path) == ["open/b.gguf"]
    assert refused(tmp_path) == {"locked": "permission denied"}


def test_a_file_that_vanishes_during_the_walk_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a.gguf")
    path = touch(tmp_path / "b.gguf")
    add = folders._FileFinder._add

    def vanish(walker: Any, name: str, status: os.stat_result) -> None:
        path.unlink(missing_ok=True)
        add(walker, name, status)

    monkeypatch.setattr(folders._FileFinder, "_add", vanish)
    assert found(tmp_path) == ["a.gguf"]
    assert refused(tmp_path) == {}


def test_a_folder_that_vanishes_during_the_walk_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a" / "m.gguf")
    (tmp_path / "b").mkdir()
    add = folders._FileFinder._add

    def vanish(walker: Any, name: str, status: os.stat_result) -> None:
        (tmp_path / "b").rmdir()
        add(walker, name, status)

    monkeypatch.setattr(folders._FileFinder, "_add", vanish)
    walk = find_files([tmp_path])
    assert [file.path for file in walk.files] == [str(tmp_path / "a" / "m.gguf")]
    assert walk.unusable == []


def test_a_time_beyond_64_bits_is_kept_within_them(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.gguf")
    times = list(path.stat())
    status = os.stat_result(times, {"st_mtime_ns": 2**70})
    assert folders.mtime_ns(status) == 2**63 - 1


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("/a/b", "/a", True),
        ("/a", "/a", True),
        ("/a/b", "/", True),
        ("/ab", "/a", False),
        ("/", "/a", False),
    ],
)
def test_a_path_is_under_a_folder_by_whole_names(
    path: str, folder: str, expected: bool
) -> None:
    assert is_under(path, folder) is expected
