"""The context that is recommended, and what bounds it."""

from __future__ import annotations

from dataclasses import replace

from inference.context_test.recommendation import (
    ContextFacts,
    Cost,
    RecommendedContext,
    recommended_context,
)

MIB = 2**20
#: Of one token, as llama.cpp would need it.
CELL = 1000


def cost(n_ctx: int, n_sequences: int) -> Cost:
    cache = n_ctx * n_sequences * CELL
    return Cost((100 * MIB + cache,), cache)


#: A machine with plenty of everything.
FACTS = ContextFacts(
    measured=[(1024, (120 * MIB,)), (32_768, (150 * MIB,))],
    sane_ctx=None,
    cost=cost,
    limits=(1000 * MIB,),
    kv_budget=1000 * MIB,
    fill_seconds=lambda n_ctx: n_ctx / 1000,
    request_timeout=600,
)


def test_where_all_holds_it_is_the_largest_that_passed() -> None:
    for n_sequences in (1, 4, 16):
        found = recommended_context(FACTS, n_sequences)
        assert found == RecommendedContext(32_768, "tested")


def test_without_a_context_that_passed_there_is_none() -> None:
    assert recommended_context(replace(FACTS, measured=[]), 1) is None


def test_more_sequences_leave_less_memory_for_each() -> None:
    facts = replace(FACTS, limits=(250 * MIB,))
    sizes = [recommended_context(facts, n) for n in (1, 4, 16)]
    assert [each.bound for each in sizes if each] == ["tested", "tested", "memory"]
    assert sizes[2] is not None
    last = sizes[2].n_ctx
    # The measured memory of one sequence, and what 15 more add.
    measured = 120 * MIB + (last - 1024) / (32_768 - 1024) * 30 * MIB
    assert measured + 15 * last * CELL <= 250 * MIB
    assert measured + 15 * (last + 512) * CELL > 250 * MIB


def test_the_cache_stays_within_what_one_worker_may_take() -> None:
    found = recommended_context(replace(FACTS, kv_budget=16 * MIB), 4)
    assert found == RecommendedContext(
        16 * MIB // 4 // CELL // 256 * 256, "kv_memory_mb"
    )


def test_answers_have_to_be_sane() -> None:
    found = recommended_context(replace(FACTS, sane_ctx=9000), 1)
    assert found == RecommendedContext(8960, "answers")
    assert recommended_context(replace(FACTS, sane_ctx=0), 1) is None


def test_a_prompt_that_fills_it_is_computed_before_its_request_ends() -> None:
    found = recommended_context(replace(FACTS, request_timeout=10), 1)
    assert found == RecommendedContext(9984, "request_timeout")


def test_a_gpu_may_be_what_bounds_it() -> None:
    facts = replace(
        FACTS,
        measured=[(n, (10 * MIB, gpu)) for n, (gpu,) in FACTS.measured],
        limits=(1000 * MIB, 160 * MIB),
        cost=lambda n, seqs: Cost((MIB, *cost(n, seqs).memory), cost(n, seqs).cache),
    )
    found = recommended_context(facts, 4)
    assert found is not None
    assert found.bound == "memory"
    assert found.n_ctx < 32_768
