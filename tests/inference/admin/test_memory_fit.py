"""Whether a model fits into a machine's memory, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.admin.memory_fit import fit
from inference.capacity.load_plan import load_plan
from inference.capacity.machine import Gpu, Machine
from inference.capacity.model_rows import load_spec
from registry.models import Kind
from tests.factories import GIB, make_model, make_node

if TYPE_CHECKING:
    from registry.models import Model

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> Model:
    return make_model()


@pytest.mark.parametrize(
    ("share", "verdict"), [(2, "fits"), (1.1, "tight"), (0.5, "does not fit")]
)
def test_fit_is_the_engines_own_estimate(
    model: Model, share: float, verdict: str
) -> None:
    needed = load_plan(load_spec(model), Machine()).estimate.host.total
    found = fit(model, make_node(memory_limit=int(needed * share)))
    assert found.verdict == verdict
    assert "weights 5.0 GiB, KV cache" in found.detail


def test_fit_says_how_the_model_would_be_loaded(model: Model) -> None:
    found = fit(model, make_node(memory_limit=64 * GIB))
    assert found.context == "32 sequences share 16,384 tokens, 16,384 at most each"
    model.kv_layout = "unified"
    assert fit(model, make_node("b", memory_limit=64 * GIB)).context == (
        "32 sequences share 16,384 tokens, 16,384 at most each"
    )


def test_fit_counts_what_lies_on_gpus(model: Model) -> None:
    machine = Machine(gpus=(Gpu("CUDA0", "a card", 16 * GIB, 15 * GIB),))
    node = make_node(memory_limit=2 * GIB, hardware=machine.as_json())
    found = fit(model, node)
    assert found.verdict == "fits"
    assert "on GPU 0 (weights 5.0 GiB, KV cache 2.0 GiB" in found.detail


def test_fit_without_an_engine_is_unknown(model: Model) -> None:
    assert fit(model, None).verdict == "unknown"


def test_fit_without_the_size_of_a_token_is_unknown() -> None:
    model = make_model(kv_elements_per_token=None)
    assert fit(model, make_node(memory_limit=64 * GIB)).verdict == "unknown"


def test_embedding_model_needs_no_size_of_a_token() -> None:
    model = make_model(
        kind=Kind.EMBEDDING, kv_elements_per_token=None, context_length=512
    )
    assert fit(model, make_node(memory_limit=64 * GIB)).verdict == "fits"


def test_projector_is_not_loaded_by_itself() -> None:
    assert fit(make_model(kind=Kind.PROJECTOR), make_node()).verdict == ""


def test_fit_names_settings_that_exclude_each_other(model: Model) -> None:
    model.cache_type_v, model.flash_attention = "q8_0", "off"
    found = fit(model, make_node(memory_limit=64 * GIB))
    assert found.verdict == "cannot be loaded"
    assert "flash attention" in found.detail
