"""One model's files: shards found together, headers read, content recognised."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from registry.errors import InvalidGGUF
from registry.scan.files import ModelFiles, group_files, read_model, shard_paths
from registry.scan.folders import FoundFile, find_files
from tests.gguf_files import (
    Tensor,
    Typed,
    llama_fields,
    write_gguf,
    write_shards,
)


def grouped(folder: Path) -> tuple[list[ModelFiles], dict[str, str]]:
    models, unusable = group_files(find_files([folder]).files)
    return models, {Path(each.path).name: each.reason for each in unusable}


def only(folder: Path) -> ModelFiles:
    models, unusable = grouped(folder)
    assert (len(models), unusable) == (1, {})
    return models[0]


def files(*names: str) -> list[FoundFile]:
    return [FoundFile(f"/models/{name}", 1, 1) for name in names]


def test_a_set_of_shards_is_one_model(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, "big", 3)
    model = only(tmp_path)
    assert model.stem == "big"
    assert model.paths == tuple(map(str, paths))
    assert model.size == sum(path.stat().st_size for path in paths)


def test_the_time_of_a_set_is_that_of_its_latest_shard(tmp_path: Path) -> None:
    for number, path in enumerate(write_shards(tmp_path, "big", 3)):
        os.utime(path, ns=(0, 1000 - number))
    assert only(tmp_path).mtime_ns == 1000


def test_sets_of_one_name_in_two_folders_or_sizes_are_two_models() -> None:
    models, unusable = group_files(
        files(
            *("a/m-00001-of-00002.gguf", "a/m-00002-of-00002.gguf"),
            *("b/m-00001-of-00002.gguf", "b/m-00002-of-00002.gguf"),
            "a/m-00001-of-00001.gguf",
        )
    )
    assert [(len(model.files), model.path) for model in models] == [
        (1, "/models/a/m-00001-of-00001.gguf"),
        (2, "/models/a/m-00001-of-00002.gguf"),
        (2, "/models/b/m-00001-of-00002.gguf"),
    ]
    assert unusable == []


def test_two_revisions_of_a_model_may_share_a_shard(tmp_path: Path) -> None:
    blobs = [tmp_path / "blobs" / name for name in ("old", "new", "same")]
    for blob in blobs:
        blob.parent.mkdir(exist_ok=True)
        blob.write_bytes(b"GGUF")
    for revision, first in (("1a", "old"), ("2b", "new")):
        folder = tmp_path / "snapshots" / revision
        folder.mkdir(parents=True)
        for number, target in enumerate((first, "same"), start=1):
            link = folder / f"big-0000{number}-of-00002.gguf"
            link.symlink_to(Path("../../blobs") / target)
    models, unusable = grouped(tmp_path)
    assert unusable == {}
    assert [Path(model.path).parent.name for model in models] == ["1a", "2b"]


def test_links_to_all_files_of_a_model_are_that_model(tmp_path: Path) -> None:
    paths = write_shards(tmp_path / "own", "big", 2)
    single = write_gguf(tmp_path / "own" / "z.gguf")
    for folder in ("a", "x"):
        (tmp_path / folder).mkdir()
        for path in (*paths, single):
            (tmp_path / folder / path.name).symlink_to(path)
    models, unusable = grouped(tmp_path)
    assert unusable == {}
    assert {Path(model.path).parent.name for model in models} == {"own"}
    assert len(models) == 2


def test_two_links_to_one_blob_are_one_model(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"GGUF")
    for name in ("b.gguf", "a.gguf"):
        (tmp_path / name).symlink_to(blob)
    assert Path(only(tmp_path).path).name == "a.gguf"


def test_shards_whose_names_differ_in_normal_form_are_one_set(tmp_path: Path) -> None:
    first, second = write_shards(tmp_path, "\u00e9", 2)
    second.rename(tmp_path / second.name.replace("\u00e9", "e\u0301"))
    assert only(tmp_path).files[0].path == str(first)


def test_an_incomplete_set_says_which_shard_is_missing(tmp_path: Path) -> None:
    write_shards(tmp_path, "big", 3, leave_out=[2])
    models, unusable = grouped(tmp_path)
    assert models == []
    assert unusable == {
        "big-00001-of-00003.gguf": "shard 2 of 3 is missing: big-00002-of-00003.gguf"
    }


def test_a_set_without_its_first_shard_is_filed_under_it(tmp_path: Path) -> None:
    write_shards(tmp_path, "big", 9, leave_out=[1, 3])
    assert grouped(tmp_path)[1] == {
        "big-00001-of-00009.gguf": (
            "2 of 9 shards are missing, first 1: big-00001-of-00009.gguf"
        )
    }


@pytest.mark.parametrize(
    "name",
    ["m-00000-of-00003.gguf", "m-00004-of-00003.gguf", "m-00001-of-99999.gguf"],
)
def test_a_shard_that_cannot_be_is_refused(name: str) -> None:
    models, unusable = group_files(files(name))
    assert models == []
    assert unusable[0].reason.startswith("there is no shard ")


def test_a_name_that_is_only_like_a_shards_is_a_model() -> None:
    names = ("m-1-of-3.gguf", "m-00001-of-00003-Q4.gguf", "-00001-of-00003.gguf")
    assert len(group_files(files(*names))[0]) == 3


def test_a_shard_names_its_whole_set() -> None:
    names = [path.name for path in shard_paths(Path("/m/a-00002-of-00003.GGUF"))]
    assert names == [f"a-0000{number}-of-00003.GGUF" for number in (1, 2, 3)]
    assert shard_paths(Path("/m/a.gguf")) == [Path("/m/a.gguf")]


def test_a_set_is_read_from_all_its_shards(tmp_path: Path) -> None:
    write_shards(tmp_path, "big", 3)
    found = read_model(only(tmp_path))
    assert found.description.kind == "chat"
    assert found.description.parameter_count == 3 * 64 * 64


def test_a_broken_shard_is_named(tmp_path: Path) -> None:
    broken = write_shards(tmp_path, "big", 3)[1]
    os.truncate(broken, broken.stat().st_size - 100)
    with pytest.raises(InvalidGGUF, match=r"^big-00002-of-00003.gguf: truncated: "):
        read_model(only(tmp_path))


def test_a_renamed_shard_is_refused(tmp_path: Path) -> None:
    shard = write_shards(tmp_path / "set", "big", 3)[1]
    shutil.copy(shard, tmp_path / "alone.gguf")
    shutil.rmtree(tmp_path / "set")
    with pytest.raises(
        InvalidGGUF, match="the header says shard 2 of 3, the file name"
    ):
        read_model(only(tmp_path))


def test_shards_of_two_sets_are_refused(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, "big", 2)
    split = {"split.no": Typed(2, 1), "split.count": Typed(2, 2)}
    write_gguf(paths[1], split, tensors=[Tensor("a"), Tensor("b")])
    with pytest.raises(
        InvalidGGUF, match="the shards have 3 tensors, the header says 2"
    ):
        read_model(only(tmp_path))


def test_a_copy_has_the_same_fingerprint_whatever_its_time(tmp_path: Path) -> None:
    one = write_gguf(tmp_path / "one" / "a.gguf")
    two = tmp_path / "two" / "b.gguf"
    two.parent.mkdir()
    shutil.copyfile(one, two)
    os.utime(two, ns=(1, 1))
    fingerprints = {read_model(only(path.parent)).fingerprint for path in (one, two)}
    assert len(fingerprints) == 1
    assert len(fingerprints.pop()) == 64


@pytest.mark.parametrize("position", [300, -1])
def test_another_beginning_or_end_is_another_fingerprint(
    tmp_path: Path, position: int
) -> None:
    tensor = Tensor("a", (1024, 1024))
    path = write_gguf(tmp_path / "a.gguf", llama_fields(), tensors=[tensor])
    before = read_model(only(tmp_path)).fingerprint
    data = bytearray(path.read_bytes())
    data[position if position < 0 else data.index(b"Tiny")] ^= 1
    path.write_bytes(data)
    assert read_model(only(tmp_path)).fingerprint != before


def test_another_shard_is_another_fingerprint(tmp_path: Path) -> None:
    last = write_shards(tmp_path, "big", 3)[2]
    before = read_model(only(tmp_path)).fingerprint
    with last.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"x")
    assert read_model(only(tmp_path)).fingerprint != before


def test_a_pipe_that_took_the_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    model = only(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InvalidGGUF, match="not a file"):
        read_model(model)


def test_the_size_is_that_of_the_file_when_it_was_read(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    model = only(tmp_path)
    os.truncate(path, path.stat().st_size + 10)
    assert read_model(model).files.size == model.size + 10
