"""A model is loaded from the files that a scan has read, and from no others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from asgiref.sync import sync_to_async

from inference.models import Worker, WorkerState
from inference.node import file_check, worker_starter
from inference.node.file_check import why_not_as_scanned
from inference.services import worker_request
from registry.models import Model
from registry.services import model_scan
from tests.gguf_files import llama_fields, write_gguf, write_shards
from tests.inference.node.engine import FakeProcess

if TYPE_CHECKING:
    from pathlib import Path

    from tests.inference.node.engine import Engine

pytestmark = pytest.mark.django_db(transaction=True)


def test_files_as_scanned_may_be_loaded(tmp_path: Path) -> None:
    write_gguf(tmp_path / "one.gguf")
    write_shards(tmp_path, "split", 2)
    model_scan(roots=[tmp_path])
    assert {why_not_as_scanned(model) for model in Model.objects.all()} == {""}


def test_a_replaced_shard_is_noticed_until_a_scan_has_read_it(tmp_path: Path) -> None:
    write_shards(tmp_path, "split", 2)
    model_scan(roots=[tmp_path])
    last = tmp_path / "split-00002-of-00002.gguf"
    last.write_bytes(last.read_bytes() + b"more")
    assert "has changed" in why_not_as_scanned(Model.objects.get())
    model_scan(roots=[tmp_path])
    assert why_not_as_scanned(Model.objects.get()) == ""


def test_files_that_look_as_scanned_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(tmp_path / "one.gguf")
    model_scan(roots=[tmp_path])
    read: list[object] = []
    monkeypatch.setattr(file_check, "fingerprint_now", read.append)
    assert why_not_as_scanned(Model.objects.get()) == ""
    assert read == []
    os.utime(path, ns=(1, 1))
    why_not_as_scanned(Model.objects.get())
    assert len(read) == 1


def test_a_file_that_was_only_touched_may_be_loaded(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "one.gguf")
    model_scan(roots=[tmp_path])
    os.utime(path, ns=(1, 1))
    assert why_not_as_scanned(Model.objects.get()) == ""


@pytest.mark.parametrize("how", ["gone", "a folder"])
def test_a_file_that_is_no_file_is_said_without_its_path(
    tmp_path: Path, how: str
) -> None:
    path = write_gguf(tmp_path / "one.gguf")
    model_scan(roots=[tmp_path])
    path.unlink()
    if how == "a folder":
        path.mkdir()
    reason = why_not_as_scanned(Model.objects.get())
    assert reason.endswith(".")
    assert str(tmp_path) not in reason


async def test_a_replaced_file_is_not_loaded_until_a_scan_has_read_it(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_starter, "why_not_as_scanned", why_not_as_scanned)
    path = write_gguf(tmp_path / "one.gguf")
    await sync_to_async(model_scan)(roots=[tmp_path])
    model = await Model.objects.aget()
    write_gguf(path, llama_fields({"general.name": "Other"}))

    await sync_to_async(worker_request)(model=model)
    await engine.look()
    row = await Worker.objects.aget()
    assert row.state == WorkerState.FAILED
    assert "has changed since it was scanned" in row.error
    assert FakeProcess.made == []

    await sync_to_async(model_scan)(roots=[tmp_path])
    await sync_to_async(worker_request)(model=model)
    await engine.look()
    assert len(FakeProcess.made) == 1


async def test_a_loaded_model_is_loaded_again_when_a_scan_finds_another_file(
    engine: Engine, tmp_path: Path
) -> None:
    path = write_gguf(tmp_path / "one.gguf")
    await sync_to_async(model_scan)(roots=[tmp_path])
    await sync_to_async(worker_request)(model=await Model.objects.aget())
    await engine.look()
    first = FakeProcess.made[0]
    first.become(state="ready")
    await engine.look()
    assert not first.is_draining

    write_gguf(path, llama_fields({"general.name": "Other"}))
    await sync_to_async(model_scan)(roots=[tmp_path])
    await engine.look()
    assert first.is_draining
    first.is_running = False
    await engine.look()
    await engine.look()
    second = FakeProcess.made[1].spec.engine
    assert second.fingerprint == (await Model.objects.aget()).fingerprint
    assert second.fingerprint != first.spec.engine.fingerprint
