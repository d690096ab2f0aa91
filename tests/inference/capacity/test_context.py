"""The context that a model is loaded with: what is set, known and affordable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.capacity.context import ContextPlan, ContextSpec, choose_context

if TYPE_CHECKING:
    from inference.capacity.kv_cache_size import KvCacheShape


def by_cells(cache: KvCacheShape) -> int:
    """Return the size of a cache whose cells take one byte."""
    return cache.cells_per_stream * cache.n_streams


def by_sequences(cache: KvCacheShape) -> int:
    """Return the size of a recurrent model's states: 100 bytes a sequence."""
    return 100 * cache.n_seq_max


def choose(budget: int, cost: Any = by_cells, **spec: Any) -> ContextPlan:
    spec = {"default_ctx": 4096, "most_sequences": 32, "trained": 32_768, **spec}
    return choose_context(ContextSpec(**spec), cost, budget)


def test_a_large_budget_gives_every_sequence_its_own_cells() -> None:
    plan = choose(10**9)
    assert plan == ContextPlan("split", 4096, 32, 32 * 4096, 32_768, 32 * 32_768)


def test_as_many_sequences_as_fit_and_room_to_grow_in_their_cells() -> None:
    plan = choose(6 * 4096 + 100)
    assert plan == ContextPlan("split", 4096, 6, 6 * 4096, 6 * 4096, 6 * 4096)


def test_too_few_sequences_share_all_the_cells_instead() -> None:
    plan = choose(3 * 4096)
    assert plan == ContextPlan("unified", 3 * 4096, 32, 3 * 4096, 3 * 4096, 3 * 4096)


def test_the_first_request_of_a_coding_agent_fits_the_default_budget() -> None:
    """Llama 3.1 8B in 2 GiB, 128 KiB a token: a prompt of 11,000 tokens and more."""
    plan = choose(2 * 2**30, lambda cache: 2**17 * by_cells(cache), default_ctx=8192)
    assert (plan.n_ctx, plan.n_ctx_max) == (16_384, 16_384)


def test_few_sequences_are_split_if_no_more_are_wanted() -> None:
    assert choose(3 * 4096, most_sequences=2).kv_layout == "split"
    assert choose(3 * 4096, n_seq_max=3).n_seq_max == 3


def test_sequences_that_are_set_are_never_fewer() -> None:
    plan = choose(6 * 4096, n_seq_max=16)
    assert (plan.kv_layout, plan.n_seq_max, plan.n_cells) == ("unified", 16, 6 * 4096)
    plan = choose(6 * 4096, n_seq_max=16, layout="split")
    assert (plan.kv_layout, plan.n_seq_max, plan.n_cells) == ("split", 16, 16 * 4096)


def test_a_context_that_is_set_holds_and_does_not_grow() -> None:
    plan = choose(10**6, n_ctx=1000)
    assert (plan.n_ctx, plan.n_ctx_max, plan.n_seq_max) == (1000, 1000, 32)
    assert plan.n_cells_max == plan.n_cells == 32 * 1024
    plan = choose(100, n_ctx=8192)
    assert (plan.kv_layout, plan.n_ctx, plan.n_cells) == ("unified", 8192, 8192)


def test_a_layout_that_is_set_holds() -> None:
    assert choose(10**9, layout="unified").kv_layout == "unified"
    plan = choose(2 * 4096, layout="split")
    assert (plan.kv_layout, plan.n_seq_max) == ("split", 2)


@pytest.mark.parametrize(
    ("known", "at_load", "most"),
    [
        ({"trained": 2048}, 2048, 2048),
        ({"tested": 8192}, 4096, 8192),
        ({"tested": 3000}, 3000, 3000),
        ({"seen": 10_000}, 10_000, 32_768),
        ({"seen": 100}, 4096, 32_768),
        ({"seen": 10_000, "tested": 8192}, 8192, 8192),
        ({"trained": None}, 4096, 4096),
        ({"trained": None, "seen": 6000}, 6000, 6000),
        ({"trained": None, "tested": 65_536}, 4096, 65_536),
    ],
)
def test_what_is_known_bounds_the_context_and_its_growth(
    known: dict[str, Any], at_load: int, most: int
) -> None:
    plan = choose(10**9, **known)
    assert (plan.n_ctx, plan.n_ctx_max) == (at_load, most)


def test_without_memory_for_the_default_the_context_is_shorter() -> None:
    plan = choose(2000)
    assert plan.kv_layout == "unified"
    assert plan.n_ctx == plan.n_ctx_max == plan.n_cells == 1792
    assert plan.n_seq_max == 7


def test_below_a_useful_context_nothing_is_shortened() -> None:
    assert choose(0).n_ctx == 512
    assert choose(0, trained=128).n_ctx == 128


def test_states_of_recurrent_models_bound_their_sequences() -> None:
    plan = choose(1000, by_sequences)
    assert (plan.kv_layout, plan.n_seq_max) == ("split", 10)
    assert plan.n_ctx_max == 32_768
    assert choose(10, by_sequences).n_seq_max == 1


@pytest.mark.parametrize("budget", [0, 700, 5000, 20_000, 100_000, 10**7])
@pytest.mark.parametrize("layout", ["auto", "split", "unified"])
@pytest.mark.parametrize("trained", [300, 4096, 131_072])
def test_every_plan_is_one_that_the_engine_can_have(
    budget: int, layout: str, trained: int
) -> None:
    plan = choose(budget, layout=layout, trained=trained)
    assert 0 < plan.n_ctx <= plan.n_ctx_max <= trained
    assert 1 <= plan.n_seq_max <= 32
    assert plan.n_cells <= plan.n_cells_max
    if plan.kv_layout == "split":
        assert plan.n_cells >= plan.n_ctx * plan.n_seq_max
    else:
        assert plan.n_cells >= plan.n_ctx_max
    if budget >= 700:
        assert plan.n_cells_max <= budget + 256
