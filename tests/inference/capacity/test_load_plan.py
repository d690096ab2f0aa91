"""From a spec to a plan: what fits, what does not, and which changes would."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inference.capacity.context import ContextSpec
from inference.capacity.eviction import LoadedWorker
from inference.capacity.explanations import (
    changes_that_fit,
    explain_shortage,
    least_plan,
)
from inference.capacity.load_plan import LoadSpec, load_plan, plan_within
from inference.capacity.machine import Gpu, Machine
from inference.capacity.model_rows import kv_cache_bytes, load_spec, shape_of
from inference.capacity.placement import NodeCapacity, Placement, place_worker
from inference.engine.config.adapters import AdapterFile
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


def spec_of(**changes: Any) -> LoadSpec:
    """Return a spec; names that begin with ``context_`` change its context."""
    context = ContextSpec(default_ctx=4096, most_sequences=32, trained=32_768)
    own = {k[8:]: v for k, v in changes.items() if k.startswith("context_")}
    settings = {k: v for k, v in changes.items() if not k.startswith("context_")}
    return LoadSpec(
        paths=("m.gguf",),
        shape=SHAPE,
        n_vocab=1000,
        settings=SETTINGS.model_copy(update=settings),
        context=replace(context, **own),
        kv_budget=2 * GIB,
    )


def test_the_kv_budget_makes_the_plan() -> None:
    plan = load_plan(spec_of(), Machine())
    assert (plan.engine.n_ctx, plan.engine.n_seq_max) == (4096, 4)
    assert plan.engine.n_ctx_max == plan.engine.n_cells_max == 16_384
    # One sequence more is for pieces of prompts.
    assert plan.estimate.host.kv == 2.5 * GIB
    assert plan.estimate.host.weights == WEIGHTS


def test_smaller_types_make_room_for_more() -> None:
    plan = load_plan(spec_of(cache_type_k="q8_0", cache_type_v="q4_0"), Machine())
    assert plan.engine.n_seq_max == 9
    assert plan.estimate.host.kv <= 2 * GIB


def test_the_context_shrinks_until_it_fits_into_memory() -> None:
    plan = plan_within(spec_of(), Machine(), (WEIGHTS + 512 * MIB,))
    assert plan is not None
    assert plan.engine.kv_layout == "unified"
    assert 512 < plan.engine.n_ctx < 4096
    assert 490 * MIB < plan.needs()[0] - WEIGHTS <= 512 * MIB
    assert plan_within(spec_of(), Machine(), (WEIGHTS,)) is None


def test_a_context_that_is_set_does_not_shrink() -> None:
    spec = spec_of(context_n_ctx=8192)
    assert plan_within(spec, Machine(), (WEIGHTS + 512 * MIB,)) is None
    plan = plan_within(spec, Machine(), (WEIGHTS + 1300 * MIB,))
    assert plan is not None
    assert (plan.engine.n_ctx, plan.engine.n_ctx_max) == (8192, 8192)


def test_a_mapped_file_counts_once() -> None:
    memory = (800 * MIB,)
    assert plan_within(spec_of(), Machine(), memory) is None
    assert plan_within(spec_of(), Machine(), memory, is_mapped=True) is not None


# Adapters, pooling, prefixes on disk ----------------------------------------------


def test_adapters_lie_beside_the_weights_that_they_change() -> None:
    adapter = AdapterFile("pirate", "/a.gguf", "f", 340 * MIB)
    host = load_plan(replace(spec_of(), adapters=(adapter,)), Machine())
    assert host.engine.adapters == (adapter,)
    assert host.estimate.host.weights == WEIGHTS + 340 * MIB
    assert host.estimate.mapped == WEIGHTS, "workers do not share an adapter's memory"
    machine = Machine(gpus=(Gpu("a", "A", 80 * GIB, 80 * GIB),))
    plain = load_plan(spec_of(), machine).estimate
    gpu = load_plan(replace(spec_of(), adapters=(adapter,)), machine).estimate
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
    assert load_plan(load_spec(model), Machine()).engine.pooling == expected


@pytest.mark.django_db
def test_prefixes_go_to_disk_only_where_that_is_wanted(settings: Any) -> None:
    model = make_model()
    assert load_plan(load_spec(model), Machine()).engine.cache_dir == ""
    settings.CONFIG = changed(
        settings.CONFIG, cache__enabled=True, cache__max_size_mb=32
    )
    engine = load_plan(load_spec(model), Machine()).engine
    assert engine.cache_dir == str(settings.CACHE_DIR)
    assert engine.cache_bytes == 32 * MIB
    assert engine.fingerprint == model.fingerprint


# Refusals ------------------------------------------------------------------------


def test_a_shortage_is_explained_with_numbers_and_what_would_fit() -> None:
    spec = spec_of(context_n_ctx=32_768, context_n_seq_max=2, kv_layout="split")
    said = explain_shortage(
        replace(spec, context=replace(spec.context, layout="split")),
        Machine(),
        (8 * GIB,),
    )
    assert said.startswith(
        "It needs at least 12.4 GiB (weights 4.2 GiB, KV cache 8.0 GiB, compute "
        "66.1 MiB, process 80.3 MiB). All models together may take 8.0 GiB "
        "(engine.memory_mb)."
    )
    assert said.endswith("It fits with a context of 14,336 or with K and V as q4_0.")


def test_fewer_sequences_are_an_alternative_where_they_are_set() -> None:
    spec = spec_of(context_n_ctx=8192, context_n_seq_max=8, context_layout="split")
    found = list(changes_that_fit(spec, Machine(), (8 * GIB,)))
    assert found == [
        "with a context of 3,072",
        "with 3 sequences",
        "with K and V as q4_0",
    ]


@pytest.mark.parametrize("found", ["context", "sequence", "K and V"])
def test_suggested_settings_fit(found: str) -> None:
    spec = spec_of(context_n_ctx=8192, context_n_seq_max=8, context_layout="split")
    free = (8 * GIB,)
    changes: dict[str, dict[str, Any]] = {
        "context": {"context_n_ctx": 3072, "context_n_seq_max": 8},
        "sequence": {"context_n_ctx": 8192, "context_n_seq_max": 3},
        "K and V": {
            "context_n_ctx": 8192,
            "context_n_seq_max": 8,
            "cache_type_k": "q4_0",
            "cache_type_v": "q4_0",
        },
    }
    assert plan_within(spec, Machine(), free) is None
    assert plan_within(
        spec_of(context_layout="split", **changes[found]), Machine(), free
    )


def test_without_flash_attention_no_quantised_v_is_suggested() -> None:
    spec = spec_of(context_n_ctx=32_768, flash_attention="off")
    found = list(changes_that_fit(spec, Machine(), (8 * GIB,)))
    assert not any("K and V" in each for each in found)


def test_a_model_whose_weights_do_not_fit_has_no_alternative() -> None:
    said = explain_shortage(spec_of(), Machine(), (2 * GIB,))
    assert said.endswith("a smaller KV type would not help.")


def test_the_memory_of_pinned_models_is_named() -> None:
    said = explain_shortage(spec_of(), Machine(), (8 * GIB,), {"other": (6 * GIB,)})
    assert "pinned models use: other 6.0 GiB." in said


def test_too_small_a_gpu_is_named_and_fewer_layers_suggested() -> None:
    machine = Machine(gpus=(Gpu("CUDA0", "a card", 4 * GIB, 4 * GIB),))
    said = explain_shortage(spec_of(), machine, (16 * GIB, 2 * GIB))
    assert "on CUDA0" in said
    assert "It fits with 12 layers on GPUs." in said
    fewer = plan_within(spec_of(n_gpu_layers=12), machine, (16 * GIB, 2 * GIB))
    assert fewer is not None
    assert plan_within(spec_of(n_gpu_layers=13), machine, (16 * GIB, 2 * GIB)) is None


# Decisions -----------------------------------------------------------------------


def loaded(key: int, memory: int, **fields: Any) -> LoadedWorker:
    defaults = {"model": key, "last_used": float(key), "running": 0}
    return LoadedWorker(**{**defaults, "key": key, "memory": (memory,), **fields})


def placed(
    *others: LoadedWorker,
    limit: int,
    is_extra: bool = False,
    model: int = 99,
    n: int = 9,
) -> Placement:
    capacity = NodeCapacity(
        machine=Machine(),
        limits=(limit,),
        max_models=n,
        loaded=others,
        names={other.model: f"model-{other.model}" for other in others},
    )
    return place_worker(spec_of(), model=model, is_extra=is_extra, capacity=capacity)


def test_what_fits_is_loaded_as_well_as_it_can_be() -> None:
    placement = placed(limit=16 * GIB)
    assert placement.plan == load_plan(spec_of(), Machine())


def test_a_model_that_others_leave_enough_takes_no_more() -> None:
    other = loaded(1, 4 * GIB)
    placement = placed(other, limit=11 * GIB)
    assert placement.plan is not None
    assert placement.evict == ()
    placement = placed(other, limit=9 * GIB)
    assert (placement.plan, placement.evict, placement.reason) == (None, (1,), "")
    assert placement.planned == load_plan(spec_of(), Machine())


def test_beside_pinned_models_less_has_to_do() -> None:
    pinned = loaded(1, 4 * GIB, is_pinned=True)
    placement = placed(pinned, limit=9 * GIB)
    assert placement.plan is not None
    assert placement.plan.engine.kv_layout == "unified"
    placement = placed(pinned, limit=8 * GIB)
    assert placement.is_impossible
    assert "model-1 4.0 GiB" in placement.reason


def test_an_extra_replica_never_evicts() -> None:
    first, other = loaded(1, 6 * GIB, model=99), loaded(2, 4 * GIB)
    placement = placed(first, other, limit=10 * GIB + 100 * MIB, is_extra=True)
    assert placement.plan is None
    assert placement.evict == ()
    assert not placement.is_impossible
    assert "not unloaded for an additional replica." in placement.reason


def test_the_limit_of_models_is_named_if_it_is_the_reason() -> None:
    pinned = loaded(1, MIB, is_pinned=True)
    placement = placed(pinned, limit=99 * GIB, n=1)
    assert placement.is_impossible
    assert placement.reason == (
        "No more models can be loaded here: the limit is 1 (engine.max_models), and "
        "these are pinned: model-1."
    )


def test_the_least_plan_is_the_smallest() -> None:
    least = least_plan(spec_of(), Machine())
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
    plan = load_plan(load_spec(model), Machine())
    engine = plan.engine
    assert (engine.task, engine.n_ctx, engine.n_ctx_max) == ("embed", 3328, 3328)
    # A row of logits for every token of a text: that is what bounds it.
    logits = 3328 * 128_256 * 4
    assert plan.estimate.host.process > logits
    assert 2 * GIB - 200 * MIB < logits + plan.estimate.host.kv <= 2 * GIB
    model.n_ctx = 512
    assert load_plan(load_spec(model), Machine()).engine.n_ctx == 512


def lent(server: str, free: int) -> Gpu:
    return Gpu("CPU", "EPYC", 2 * free, free, server=server)


def test_layers_are_shared_by_what_rpc_servers_lend() -> None:
    spec = replace(
        spec_of(rpc_servers=("b:1", "c:1"), n_gpu_layers=-1),
        remote=(lent("b:1", 8 * GIB), lent("c:1", 4 * GIB)),
    )
    plan = load_plan(spec, Machine())
    one, other = (device.weights for device in plan.estimate.gpus)
    # 32 layers and the output.
    assert (one, other) == (22 * 128 * MIB, 11 * 128 * MIB)
    assert plan.estimate.host.weights == 128 * MIB
    assert plan.needs() == (plan.estimate.host.total,)
    assert plan.engine.tensor_split == pytest.approx((2 / 3, 1 / 3))
    assert not any(device.process for device in plan.estimate.gpus)


def test_rpc_servers_come_before_the_machines_own_gpus() -> None:
    machine = Machine((Gpu("CUDA0", "", 8 * GIB, 8 * GIB),))
    spec = replace(
        spec_of(rpc_servers=("b:1",), tensor_split=(1.0, 10.0)),
        remote=(lent("b:1", 8 * GIB),),
    )
    gpu, remote = load_plan(spec, machine).estimate.gpus
    # The output is the last layer, on the own GPU.
    assert (remote.weights, gpu.weights) == (3 * 128 * MIB, 30 * 128 * MIB)
    assert load_plan(spec, machine).needs()[1] == gpu.total


def test_layers_that_stay_here_are_counted_here() -> None:
    spec = replace(
        spec_of(rpc_servers=("b:1",), n_gpu_layers=10), remote=(lent("b:1", 8 * GIB),)
    )
    plan = load_plan(spec, Machine())
    assert plan.estimate.gpus[0].weights == 10 * 128 * MIB
    assert plan.estimate.host.weights == (1 + 23) * 128 * MIB


def test_a_model_fits_only_where_its_rpc_servers_lend_enough() -> None:
    spec = spec_of(rpc_servers=("b:1",), context_n_ctx=1024, context_n_seq_max=1)
    much, little = (replace(spec, remote=(lent("b:1", n * GIB),)) for n in (8, 4))
    assert plan_within(much, Machine(), (GIB,)) is not None
    assert plan_within(little, Machine(), (GIB,)) is None
    said = explain_shortage(little, Machine(), (6 * GIB,))
    assert "on the RPC server b:1, which offers 3.8 GiB" in said
    assert "layers on GPUs and RPC servers" in said


def test_an_rpc_server_serves_one_model_at_a_time() -> None:
    spec = replace(spec_of(rpc_servers=("b:1",)), remote=(lent("b:1", 8 * GIB),))
    holder = LoadedWorker(
        key=7,
        model=2,
        memory=(GIB,),
        last_used=0,
        running=0,
        servers=frozenset({"b:1", "c:1"}),
    )

    def place(other: LoadedWorker, model: int = 1) -> Placement:
        capacity = NodeCapacity(Machine(), (32 * GIB,), 9, [other], {2: "other"})
        return place_worker(spec, model=model, is_extra=False, capacity=capacity)

    assert place(holder).evict == (7,)
    assert place(holder).plan is None
    assert place(replace(holder, servers=frozenset({"c:1"}))).plan is not None
    # It ends by itself; or it has just come.
    for other in (
        replace(holder, is_draining=True),
        replace(holder, is_just_loaded=True),
    ):
        waiting = place(other)
        assert (waiting.plan, waiting.evict, waiting.is_impossible) == (None, (), False)
    pinned = place(replace(holder, is_pinned=True))
    assert pinned.is_impossible
    assert pinned.reason == "other has the RPC server b:1 to itself, and is pinned."
    # A second replica of the same model.
    assert place(holder, model=2).reason.startswith("Waiting: other has")
