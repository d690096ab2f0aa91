"""A model with a projector: what the API says of it, how it is loaded, its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.api.models.objects import capabilities_of
from inference.capacity.load_plan import load_plan
from inference.capacity.machine import Gpu, Machine
from inference.capacity.memory_estimate import (
    DeviceMemory,
    MemoryEstimate,
    with_projector,
)
from inference.capacity.model_rows import InvalidSettings, load_spec
from inference.load_differences import load_time_settings
from inference.local.folder import ModelFolder
from llm_manager.config.in_force import config
from registry.models import FileState, Kind
from tests.factories import make_model
from tests.gguf_files import write_gguf
from tests.tiny_projectors import write_tiny_vision

if TYPE_CHECKING:
    from pathlib import Path

    from registry.models import Model

SIZE = 600_000_000


def projector(**header: bool) -> Model:
    """Save a projector; the header says what it reads."""
    metadata = {f"clip.has_{name}_encoder": value for name, value in header.items()}
    return make_model(kind=Kind.PROJECTOR, file_size=SIZE, metadata=metadata)


@pytest.mark.django_db
def test_a_model_can_what_its_projector_reads() -> None:
    assert "vision" not in capabilities_of(make_model())
    seeing = make_model(projector=projector(vision=True))
    assert "vision" in capabilities_of(seeing)
    hearing = make_model(projector=projector(vision=False, audio=True))
    assert "audio" in capabilities_of(hearing)
    assert "vision" not in capabilities_of(hearing)
    assert load_spec(hearing).projector is not None
    speaking = make_model(projector=projector(audio=True, gen_audio=True))
    assert "audio" not in capabilities_of(speaking)
    assert load_spec(speaking).projector is None


@pytest.mark.django_db
def test_a_projector_is_loaded_with_its_model_and_counted() -> None:
    machine = Machine()
    plain, seeing = make_model(), make_model(projector=projector(vision=True))
    without = load_plan(load_spec(plain), machine, kv_budget=0)
    found = load_plan(load_spec(seeing), machine, kv_budget=0)
    assert (without.engine.projector, found.engine.projector) == (
        "",
        seeing.projector.path,  # type: ignore[union-attr]
    )
    assert found.needs()[0] > without.needs()[0] + SIZE


@pytest.mark.django_db
def test_a_projector_whose_file_is_gone_is_named() -> None:
    gone = projector(vision=True)
    gone.state = FileState.MISSING
    gone.save()
    model = make_model(projector=gone)
    with pytest.raises(InvalidSettings, match=gone.name):
        load_spec(model)
    assert "vision" not in capabilities_of(model)


@pytest.mark.django_db
def test_a_model_goes_without_a_projector_that_is_disabled() -> None:
    off = projector(vision=True)
    off.is_enabled = False
    off.save()
    model = make_model(projector=off)
    assert load_spec(model).projector is None
    assert "vision" not in capabilities_of(model)


@pytest.mark.django_db
def test_another_projector_needs_a_reload() -> None:
    model = make_model(projector=projector(vision=True))
    before = load_time_settings(model)
    model.projector = projector(vision=True)
    assert load_time_settings(model) != before


def test_a_projector_is_where_the_model_is() -> None:
    on_host = MemoryEstimate(DeviceMemory(weights=5), (DeviceMemory(),), 5, 0)
    on_gpu = MemoryEstimate(DeviceMemory(), (DeviceMemory(weights=5),), 0, 0)
    gpu = Machine((Gpu("GPU0", "", 5 * SIZE, 5 * SIZE),))
    assert with_projector(on_host, SIZE, gpu).host.weights == 5 + SIZE
    assert with_projector(on_host, SIZE, gpu).gpus[0].weights == 0
    assert with_projector(on_gpu, SIZE, gpu).gpus[0].weights == 5 + SIZE
    assert with_projector(on_gpu, SIZE, gpu).host.weights == 0


def test_a_projector_is_never_on_an_rpc_server() -> None:
    lent = Machine((Gpu("CPU", "", 5 * SIZE, 5 * SIZE, server="b:1"),))
    taken = MemoryEstimate(DeviceMemory(), (DeviceMemory(weights=5),), 0, 0)
    assert with_projector(taken, SIZE, lent).host.weights == SIZE


def test_a_program_finds_the_projector_beside_a_model(tmp_path: Path) -> None:
    write_tiny_vision("mlp", tmp_path / "seeing")
    write_gguf(tmp_path / "blind" / "other.gguf")
    folder = ModelFolder([tmp_path], config())
    found = folder.find("tiny")
    assert found.projector is not None
    assert "vision" in capabilities_of(found)
    assert folder.find("other").projector is None
    able = {each.name: capabilities_of(each) for each in folder.models()}
    assert "vision" in able["tiny"]
    assert "vision" not in able["other"]
