"""A node reports the model files on its disks."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

import pytest

from registry.copies import report as report_module
from registry.copies.report import copies_report
from registry.models import FileState, Model, ModelCopy
from registry.services import model_scan
from tests.factories import make_node
from tests.gguf_files import llama_fields, write_gguf, write_shards

if TYPE_CHECKING:
    from pathlib import Path

    from inference.models import EngineNode

pytestmark = pytest.mark.django_db


@pytest.fixture
def node() -> EngineNode:
    return make_node(platform.node())


def put(folder: Path, name: str, title: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    fields = llama_fields({"general.name": title or name})
    return write_gguf(folder / f"{name}.gguf", fields)


def copies() -> dict[str, str]:
    return dict(ModelCopy.objects.values_list("place", "fingerprint"))


def test_files_below_the_models_directories_are_reported(
    node: EngineNode, tmp_path: Path
) -> None:
    put(tmp_path / "org" / "tiny", "tiny")
    write_shards(tmp_path, "big", 2)
    copies_report(node.pk, [tmp_path])
    assert len(copies()) == 2
    sharded = ModelCopy.objects.exclude(shards=[]).get()
    assert len(sharded.paths) == 2
    whole = ModelCopy.objects.get(place="org/tiny/tiny.gguf")
    model_scan(roots=[tmp_path])
    assert Model.objects.get(path=whole.path).fingerprint == whole.fingerprint


def test_what_is_gone_or_has_changed_is_reported_as_it_is_now(
    node: EngineNode, tmp_path: Path
) -> None:
    gone, changes = put(tmp_path, "gone"), put(tmp_path, "changes")
    copies_report(node.pk, [tmp_path])
    before = copies()
    gone.unlink()
    put(tmp_path, "changes", "another title, so another size")
    copies_report(node.pk, [tmp_path])
    assert set(copies()) == {changes.name}
    assert copies()[changes.name] != before[changes.name]


def test_files_that_are_known_are_not_read_again(
    node: EngineNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "scanned")
    model_scan(roots=[tmp_path])
    read: list[Any] = []
    monkeypatch.setattr(report_module, "fingerprint_now", read.append)
    copies_report(node.pk, [tmp_path])
    assert copies() == {"scanned.gguf": Model.objects.get().fingerprint}
    # Also without its row, which another machine may have changed.
    Model.objects.all().delete()
    copies_report(node.pk, [tmp_path])
    assert read == []


def test_a_known_model_outside_of_the_directories_is_reported(
    node: EngineNode, tmp_path: Path
) -> None:
    path = put(tmp_path / "elsewhere", "m")
    model_scan(roots=[path])
    copies_report(node.pk, [tmp_path / "models"])
    copy = ModelCopy.objects.get()
    assert (copy.path, copy.place) == (str(path), "")


def test_a_file_that_cannot_be_read_is_left_out(
    node: EngineNode, tmp_path: Path
) -> None:
    put(tmp_path, "fine")
    os.mkfifo(tmp_path / "pipe.gguf")
    copies_report(node.pk, [tmp_path])
    assert set(copies()) == {"fine.gguf"}


def test_a_model_that_was_missed_is_found_where_it_is(
    node: EngineNode, tmp_path: Path
) -> None:
    put(tmp_path, "m")
    model_scan(roots=[tmp_path])
    Model.objects.update(state=FileState.MISSING)
    copies_report(node.pk, [tmp_path])
    assert Model.objects.get().state == FileState.FOUND


def test_the_copies_of_a_node_go_with_it(node: EngineNode, tmp_path: Path) -> None:
    put(tmp_path, "m")
    copies_report(node.pk, [tmp_path])
    node.delete()
    assert not ModelCopy.objects.exists()
