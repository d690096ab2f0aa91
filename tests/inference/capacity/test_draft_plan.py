"""A model with a draft model: how the two are loaded, and what they take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference.capacity.load_plan import DraftModel, load_plan
from inference.capacity.machine import Gpu, Machine
from inference.capacity.model_rows import InvalidSettings, load_spec
from registry.gguf.memory_shape import Block, MemoryShape, Weights
from registry.models import FileState
from tests.factories import make_model
from tests.inference.capacity.test_load_plan import GIB, MIB, SHAPE, spec_of

#: Four layers of 16 MiB; a token takes 4 KiB of K and V.
SMALL = MemoryShape(
    input=Weights(rest=16 * MIB),
    output=Weights({"F16": 16 * MIB}),
    blocks=(Block(Weights({"F16": 16 * MIB}), k=256, v=256),) * 4,
    widths=SHAPE.widths,
)
DRAFT = DraftModel(("draft.gguf",), SMALL, n_vocab=1000)


def test_the_draft_models_memory_is_part_of_the_estimate() -> None:
    alone = load_plan(spec_of(), Machine())
    both = load_plan(replace(spec_of(draft="model"), draft=DRAFT), Machine())
    assert both.engine.draft_paths == ("draft.gguf",)
    added = both.estimate.host.weights - alone.estimate.host.weights
    assert added == 6 * 16 * MIB
    # The KV budget is for both.
    assert alone.estimate.host.kv - GIB < both.estimate.host.kv <= 2 * GIB
    # There is one process: one Python, one more vocabulary.
    process = both.estimate.host.process - alone.estimate.host.process
    assert 0 < process < 10 * MIB
    assert both.estimate.mapped - alone.estimate.mapped == 6 * 16 * MIB


def test_a_gpu_has_both_and_one_context() -> None:
    machine = Machine(gpus=(Gpu("a", "GPU", 64 * GIB, 64 * GIB),))
    alone = load_plan(spec_of(), machine).estimate.gpus[0]
    both = load_plan(replace(spec_of(draft="model"), draft=DRAFT), machine)
    gpu = both.estimate.gpus[0]
    assert gpu.process == alone.process
    assert gpu.weights - alone.weights == 5 * 16 * MIB


@pytest.mark.django_db
def test_a_models_draft_model_goes_into_its_plan() -> None:
    small = make_model("small")
    model = make_model("large", draft="model", draft_model=small)
    request = load_spec(model)
    assert request.draft is not None
    assert request.draft.paths == (small.path,)
    # Only where it is used for drafts.
    model.draft = "off"
    assert load_spec(model).draft is None


@pytest.mark.django_db
def test_a_missing_draft_model_is_reported() -> None:
    small = make_model("small", state=FileState.MISSING)
    model = make_model("large", draft="model", draft_model=small)
    with pytest.raises(InvalidSettings, match="draft model small is missing"):
        load_spec(model)
    small.delete()
    model.refresh_from_db()
    with pytest.raises(InvalidSettings, match="none is chosen"):
        load_spec(model)
