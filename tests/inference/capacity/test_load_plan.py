"""From a wish to a plan: what fits, what does not, and what would."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inference.capacity.context import ContextWish
from inference.capacity.eviction import Loaded
from inference.capacity.explanations import alternatives, least_plan, refusal
from inference.capacity.load_plan import (
    LoadRequest,
    kv_cache_bytes,
    load_plan,
    load_request,
    plan_within,
    shape_of,
)
from inference.capacity.machine import Gpu, Machine
from inference.capacity.placement import Decision, Room, decide
from inference.engine.adapters import AdapterFile
from registry.gguf.memory_shape import Block, MemoryShape, Weights, Widths
from registry.load_settings import LoadSettings
from registry.models import Kind
from tests.configuration import changed
from tests.factories import make_model

MIB = 2**20
GIB = 2**30
SETTINGS = LoadSettings(cache_type_v="f16", draft="off")
#: 32 layers of 128 MiB; a token takes 128 KiB of K and V.
SHAPE = MemoryShape(
    input=Weights(rest=128 * MIB),
    output=Weights({"F16": 128 * MIB}),
    blocks=(Block(Weights({"F16": 128 * MIB}), k=1024, v=1024),) * 32,
    widths=Widths(
        embedding=1024, feed_forward=4096, is_gated=True, head_k=128, head_v=128
    ),
)
WEIGHTS = 34 * 128 * MIB


def wanted(**changes: Any) -> LoadRequest:
    """Return a request; ``wish_`` changes what is wished, the rest the settings."""
    wish = ContextWish(default_ctx=4096, most_sequences=32, trained=32_768)
    wishes = {k[5:]: v for k, v in changes.items() if k.startswith("wish_")}
    settings = {k: v for k, v in changes.items() if not k.startswith("wish_")}
    return LoadRequest(
        paths=("m.gguf",),
        shape=SHAPE,
        n_vocab=1000,
        settings=SETTINGS.model_copy(update=settings),
        wish=replace(wish, **wishes),
        kv_budget=2 * GIB,
    )


def test_the_kv_budget_makes_the_plan() -> None:
    plan = load_plan(wanted(), Machine())
    assert (plan.engine.n_ctx, plan.engine.n_seq_max) == (4096, 4)
    assert plan.engine.n_ctx_max == plan.engine.n_cells_max == 16_384
    # One sequence more is for pieces of prompts.
    assert plan.estimate.host.kv == 2.5 * GIB
    assert plan.estimate.host.weights == WEIGHTS


def test_smaller_types_make_room_for_more() -> None:
    plan = load_plan(wanted(cache_type_k="q8_0", cache_type_v="q4_0"), Machine())
    assert plan.engine.n_seq_max == 9
    assert plan.estimate.host.kv <= 2 * GIB


def test_the_context_shrinks_until_it_fits_into_memory() -> None:
    plan = plan_within(wanted(), Machine(), (WEIGHTS + 512 * MIB,))
    assert plan is not None
    assert plan.engine.kv_layout == "unified"
    assert 512 < plan.engine.n_ctx < 4096
    assert 490 * MIB < plan.needs()[0] - WEIGHTS <= 512 * MIB
    assert plan_within(wanted(), Machine(), (WEIGHTS,)) is None


def test_a_context_that_is_set_does_not_shrink() -> None:
    request = wanted(wish_n_ctx=8192)
    assert plan_within(request, Machine(), (WEIGHTS + 512 * MIB,)) is None
    plan = plan_within(request, Machine(), (WEIGHTS + 1300 * MIB,))
    assert plan is not None
    assert (plan.engine.n_ctx, plan.engine.n_ctx_max) == (8192, 8192)


def test_a_mapped_file_counts_once() -> None:
    memory = (800 * MIB,)
    assert plan_within(wanted(), Machine(), memory) is None
    assert plan_within(wanted(), Machine(), memory, is_mapped=True) is not None


# Adapters, pooling, prefixes on disk ----------------------------------------------


def test_adapters_lie_beside_the_weights_that_they_change() -> None:
    adapter = AdapterFile("pirate", "/a.gguf", "f", 340 * MIB)
    host = load_plan(replace(wanted(), adapters=(adapter,)), Machine())
    assert host.engine.adapters == (adapter,)
    assert host.estimate.host.weights == WEIGHTS + 340 * MIB
    assert host.estimate.mapped == WEIGHTS, "workers do not share an adapter's memory"
    machine = Machine(gpus=(Gpu("a", "A", 80 * GIB, 80 * GIB),))
    plain = load_plan(wanted(), machine).estimate
    gpu = load_plan(replace(wanted(), adapters=(adapter,)), machine).estimate
    added = [more - less for more, less in zip(gpu.totals, plain.totals, strict=True)]
    assert sum(added) == pytest.approx(340 * MIB, abs=2)
    assert added[1] > 10 * added[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "own", "configured", "expected"),
    [
        (Kind.EMBEDDING, "", "auto", ""),
        (Kind.EMBEDDING, "", "mean", "mean"),
        (Kind.EMBEDDING, "cls", "mean", "cls"),
        (Kind.EMBEDDING, "auto", "mean", ""),
        (Kind.CHAT, "", "mean", ""),
        (Kind.RERANKER, "", "mean", ""),
    ],
)
def test_a_models_own_pooling_wins_where_it_can_have_one(
    settings: Any, kind: Kind, own: str, configured: str, expected: str
) -> None:
    settings.CONFIG = changed(settings.CONFIG, engine__pooling_type=configured)
    model = make_model(kind=kind, pooling_type=own, context_length=512)
    assert load_plan(load_request(model), Machine()).engine.pooling == expected


@pytest.mark.django_db
def test_prefixes_go_to_disk_only_where_that_is_wanted(settings: Any) -> None:
    model = make_model()
    assert load_plan(load_request(model), Machine()).engine.cache_dir == ""
    settings.CONFIG = changed(
        settings.CONFIG, cache__enabled=True, cache__max_size_mb=32
    )
    engine = load_plan(load_request(model), Machine()).engine
    assert engine.cache_dir == str(settings.CACHE_DIR)
    assert engine.cache_bytes == 32 * MIB
    assert engine.fingerprint == model.fingerprint


# Refusals ------------------------------------------------------------------------


def test_a_refusal_has_the_numbers_and_what_would_fit() -> None:
    request = wanted(wish_n_ctx=32_768, wish_n_seq_max=2, kv_layout="split")
    said = refusal(
        replace(request, wish=replace(request.wish, layout="split")),
        Machine(),
        (8 * GIB,),
    )
    assert said.startswith(
        "It needs 12.4 GiB here (weights 4.2 GiB, KV cache 8.0 GiB, compute 66.1 MiB, "
        "process 80.3 MiB); all models together may take 8.0 GiB (engine.memory_mb)."
    )
    assert said.endswith("It fits with a context of 14,336 or with K and V as q4_0.")


def test_fewer_sequences_are_an_alternative_where_they_are_set() -> None:
    request = wanted(wish_n_ctx=8192, wish_n_seq_max=8, wish_layout="split")
    found = list(alternatives(request, Machine(), (8 * GIB,)))
    assert found == [
        "with a context of 3,072",
        "with 3 sequences",
        "with K and V as q4_0",
    ]


@pytest.mark.parametrize("found", ["context", "sequence", "K and V"])
def test_what_is_said_to_fit_does(found: str) -> None:
    request = wanted(wish_n_ctx=8192, wish_n_seq_max=8, wish_layout="split")
    free = (8 * GIB,)
    changes: dict[str, dict[str, Any]] = {
        "context": {"wish_n_ctx": 3072, "wish_n_seq_max": 8},
        "sequence": {"wish_n_ctx": 8192, "wish_n_seq_max": 3},
        "K and V": {
            "wish_n_ctx": 8192,
            "wish_n_seq_max": 8,
            "cache_type_k": "q4_0",
            "cache_type_v": "q4_0",
        },
    }
    assert plan_within(request, Machine(), free) is None
    assert plan_within(wanted(wish_layout="split", **changes[found]), Machine(), free)


def test_without_flash_attention_no_quantised_v_is_suggested() -> None:
    request = wanted(wish_n_ctx=32_768, flash_attention="off")
    found = list(alternatives(request, Machine(), (8 * GIB,)))
    assert not any("K and V" in each for each in found)


def test_a_model_whose_weights_do_not_fit_has_no_alternative() -> None:
    said = refusal(wanted(), Machine(), (2 * GIB,))
    assert said.endswith("or smaller KV type makes it fit.")


def test_what_pinned_models_hold_is_named() -> None:
    said = refusal(wanted(), Machine(), (8 * GIB,), {"other": (6 * GIB,)})
    assert "of which pinned ones hold: other 6.0 GiB." in said


def test_too_small_a_gpu_is_named_and_fewer_layers_suggested() -> None:
    machine = Machine(gpus=(Gpu("CUDA0", "a card", 4 * GIB, 4 * GIB),))
    said = refusal(wanted(), machine, (16 * GIB, 2 * GIB))
    assert "on CUDA0" in said
    assert "It fits with 12 layers on GPUs." in said
    fewer = plan_within(wanted(n_gpu_layers=12), machine, (16 * GIB, 2 * GIB))
    assert fewer is not None
    assert plan_within(wanted(n_gpu_layers=13), machine, (16 * GIB, 2 * GIB)) is None


# Decisions -----------------------------------------------------------------------


def loaded(key: int, memory: int, **fields: Any) -> Loaded:
    defaults = {"model": key, "last_used": float(key), "running": 0}
    return Loaded(**{**defaults, "key": key, "memory": (memory,), **fields})


def decided(
    *others: Loaded, limit: int, is_spare: bool = False, model: int = 99, n: int = 9
) -> Decision:
    room = Room(
        machine=Machine(),
        limits=(limit,),
        max_models=n,
        loaded=others,
        names={other.model: f"model-{other.model}" for other in others},
    )
    return decide(wanted(), model=model, is_spare=is_spare, room=room)


def test_what_fits_is_loaded_as_well_as_it_can_be() -> None:
    decision = decided(limit=16 * GIB)
    assert decision.plan == load_plan(wanted(), Machine())


def test_a_model_that_others_leave_enough_takes_no_more() -> None:
    other = loaded(1, 4 * GIB)
    decision = decided(other, limit=11 * GIB)
    assert decision.plan is not None
    assert decision.evict == ()
    decision = decided(other, limit=9 * GIB)
    assert decision == Decision(evict=(1,))


def test_beside_pinned_models_less_has_to_do() -> None:
    pinned = loaded(1, 4 * GIB, is_pinned=True)
    decision = decided(pinned, limit=9 * GIB)
    assert decision.plan is not None
    assert decision.plan.engine.kv_layout == "unified"
    decision = decided(pinned, limit=8 * GIB)
    assert decision.is_refused
    assert "model-1 4.0 GiB" in decision.reason


def test_a_spare_replica_never_evicts() -> None:
    first, other = loaded(1, 6 * GIB, model=99), loaded(2, 4 * GIB)
    decision = decided(first, other, limit=10 * GIB + 100 * MIB, is_spare=True)
    assert decision.plan is None
    assert decision.evict == ()
    assert not decision.is_refused
    assert "Other models are not unloaded for a further replica." in decision.reason


def test_the_count_of_models_is_said_if_it_is_the_reason() -> None:
    pinned = loaded(1, MIB, is_pinned=True)
    decision = decided(pinned, limit=99 * GIB, n=1)
    assert decision.is_refused
    assert decision.reason == (
        "As many models as may be loaded here (engine.max_models is 1) are pinned: "
        "model-1."
    )


def test_the_least_plan_is_the_smallest() -> None:
    least = least_plan(wanted(), Machine())
    assert (least.engine.n_ctx, least.engine.n_seq_max) == (512, 2)


# Rows ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_row_without_a_shape_is_taken_for_one_layer() -> None:
    model = make_model(file_size=1000, kv_elements_per_token=11, head_count=4)
    shape = shape_of(model)
    assert [(block.k, block.v) for block in shape.blocks] == [(6, 5)]
    assert shape.blocks[0].weights.total == 1000
    model.memory_shape = SHAPE.as_json()
    assert shape_of(model) == SHAPE


@pytest.mark.django_db
def test_the_bytes_of_a_cache_follow_the_models_types() -> None:
    model = make_model(memory_shape=SHAPE.as_json(), cache_type_v="q8_0")
    sizes = [
        kv_cache_bytes(model, n_cells=4096, n_seq_max=4, kv_layout=layout)
        for layout in ("split", "unified")
    ]
    assert sizes == [4096 * 32 * 1024 * (2 + 34 / 32)] * 2
    # Settings that have come to exclude each other do not break what only reads.
    model.flash_attention = "off"
    assert kv_cache_bytes(model, n_cells=256, n_seq_max=1, kv_layout="split") > 0


@pytest.mark.django_db
def test_embedding_models_have_a_longest_text_and_no_more() -> None:
    model = make_model(
        kind=Kind.EMBEDDING, memory_shape=SHAPE.as_json(), context_length=8192
    )
    plan = load_plan(load_request(model), Machine())
    engine = plan.engine
    assert (engine.task, engine.n_ctx, engine.n_ctx_max) == ("embed", 3328, 3328)
    # A row of logits for every token of a text: that is what bounds it.
    logits = 3328 * 128_256 * 4
    assert plan.estimate.host.process > logits
    assert 2 * GIB - 200 * MIB < logits + plan.estimate.host.kv <= 2 * GIB
    model.n_ctx = 512
    assert load_plan(load_request(model), Machine()).engine.n_ctx == 512
