"""Scans on one of several machines, each with its own files."""

from __future__ import annotations

import platform
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.copies.here import known_models, use_copy_here
from registry.copies.report import copies_report
from registry.models import FileState, Model, ModelCopy
from registry.services import model_scan
from tests.factories import make_node
from tests.registry.copies.test_report import put

if TYPE_CHECKING:
    from pathlib import Path

    from inference.models import EngineNode

pytestmark = pytest.mark.django_db


@pytest.fixture
def far() -> EngineNode:
    """Another machine; a scan runs on this one."""
    return make_node("far")


def copy_of(model: Model, node: EngineNode, path: str = "") -> ModelCopy:
    """Let a node have a model, at the path of its row if no other is given."""
    return ModelCopy.objects.create(
        node=node,
        path=path or model.path,
        size=model.file_size,
        mtime_ns=1,
        fingerprint=model.fingerprint,
    )


def scanned(folder: Path, name: str = "m") -> Model:
    put(folder, name)
    model_scan(roots=[folder])
    return Model.objects.get(name=name)


def state(model: Model) -> str:
    model.refresh_from_db()
    return model.state


def test_what_another_machine_has_is_not_missing(
    tmp_path: Path, far: EngineNode
) -> None:
    model = scanned(tmp_path)
    copy_of(model, far)
    (tmp_path / "m.gguf").unlink()
    report = model_scan(roots=[tmp_path])
    assert report.counts()["missing"] == 0
    assert state(model) == FileState.FOUND
    # Once that machine is silent, nobody has it.
    far.heartbeat_at = timezone.now() - timedelta(minutes=1)
    far.save()
    assert model_scan(roots=[tmp_path]).counts()["missing"] == 1
    assert state(model) == FileState.MISSING


def test_another_file_of_the_name_does_not_change_what_others_have(
    tmp_path: Path, far: EngineNode
) -> None:
    model = scanned(tmp_path)
    copy_of(model, far)
    put(tmp_path, "m", "something else, of another size")
    report = model_scan(roots=[tmp_path])
    (entry,) = report.entries
    assert (entry.name, entry.outcome) == ("m", "unreadable")
    assert "another file" in entry.reason
    before = model.fingerprint
    model.refresh_from_db()
    assert model.fingerprint == before
    # Once no other machine has the old one, the new one is the model.
    ModelCopy.objects.all().delete()
    assert model_scan(roots=[tmp_path]).counts()["changed"] == 1


def test_a_file_that_another_machine_has_elsewhere_is_the_same_model(
    tmp_path: Path, far: EngineNode
) -> None:
    model = scanned(tmp_path / "there")
    copy_of(model, far)
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "there" / "m.gguf").rename(here / "renamed.gguf")
    report = model_scan(roots=[here])
    assert (report.counts()["new"], report.counts()["changed"]) == (0, 0)
    before = model.path
    model.refresh_from_db()
    assert model.path == before
    # This machine loads it from where it has it.
    copies_report(make_node(platform.node()).pk, [here])
    use_copy_here(model)
    assert model.path == str(here / "renamed.gguf")
    assert model_scan(roots=[here]).unchanged == 1


def test_another_file_at_the_path_of_a_model_that_is_elsewhere_here(
    tmp_path: Path, far: EngineNode
) -> None:
    model = scanned(tmp_path)
    copy_of(model, far)
    (tmp_path / "m.gguf").rename(tmp_path / "kept.gguf")
    put(tmp_path, "m", "something else, of another size")
    copies_report(make_node(platform.node()).pk, [tmp_path])
    report = model_scan(roots=[tmp_path])
    assert [entry.path for entry in report.entries] == [model.path]
    assert Model.objects.count() == 1


def test_a_file_that_moved_on_all_machines_moves_the_row(
    tmp_path: Path, far: EngineNode
) -> None:
    model = scanned(tmp_path)
    moved = tmp_path / "moved.gguf"
    (tmp_path / "m.gguf").rename(moved)
    copy_of(model, far, str(moved))
    model_scan(roots=[tmp_path])
    model.refresh_from_db()
    assert model.path == str(moved)


def test_a_machine_that_is_alone_knows_its_rows_as_they_are(tmp_path: Path) -> None:
    model = scanned(tmp_path)
    copy_of(model, make_node(platform.node()), "/old/place.gguf")
    (known,) = known_models([model])
    assert known.paths == (model.path,)
    assert not known.is_elsewhere
