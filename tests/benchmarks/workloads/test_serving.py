"""The workloads send what they promise."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from benchmarks.workloads.prompts import WORDS, text
from benchmarks.workloads.serving import (
    QUICK_WORKLOADS,
    SCALING_WORKLOADS,
    WORKLOADS,
    Burst,
    Chats,
    Newcomer,
    TwoKeys,
    Workload,
    chat_figures,
    newcomer_figures,
    two_keys_figures,
)
from tests.benchmarks.fakes import FakeTarget, make_answer

if TYPE_CHECKING:
    from benchmarks.reporting.figures import Figures


@pytest.mark.parametrize("table", [WORKLOADS, QUICK_WORKLOADS, SCALING_WORKLOADS])
def test_names_in_a_table_are_unique(table: tuple[Workload, ...]) -> None:
    assert max(Counter(workload.name for workload in table).values()) == 1


@pytest.mark.parametrize("workload", [*WORKLOADS, *QUICK_WORKLOADS])
async def test_every_workload_gives_the_figures_that_tables_need(
    workload: Workload,
) -> None:
    figures: Figures = await workload.run(FakeTarget(), "salt")
    assert {"tokens", "tokens_per_s", "ttft_p50_s", "ttft_p95_s"} <= set(figures)


def test_lengths_are_gone_through_in_turn() -> None:
    calls = Burst("b", 5, prompt_tokens=(10, 200), max_tokens=(1, 2, 3)).calls("s")
    assert [call.max_tokens for call in calls] == [1, 2, 3, 1, 2]
    words = [len(call.messages[0].content.split()) for call in calls]
    assert [count > 100 for count in words] == [False, True, False, True, False]


def test_a_shared_prefix_is_the_same_for_all_and_new_in_every_round() -> None:
    burst = Burst("b", 3, shared_tokens=50)
    prefixes = {call.messages[0] for call in burst.calls("r1")}
    assert len(prefixes) == 1
    assert prefixes.isdisjoint({call.messages[0] for call in burst.calls("r2")})


def test_nothing_else_is_shared() -> None:
    contents = [call.messages[0].content for call in Burst("b", 16).calls("r1")]
    assert len({content.split()[0] for content in contents}) == 16


async def test_each_turn_of_a_chat_extends_the_last() -> None:
    target = FakeTarget()
    await Chats("c", conversations=1, turns=3).run(target, "s")
    first, second, third = (call.messages for call in target.calls)
    assert second[: len(first)] == first
    assert second[len(first)].role == "assistant"
    assert second[len(first)].content == "answer 0"
    assert third[: len(second)] == second


def test_chat_figures_show_the_computed_tokens_of_each_turn() -> None:
    turns = [
        make_answer(2.0, prompt_tokens=100, cached_tokens=0),
        make_answer(0.5, prompt_tokens=160, cached_tokens=130),
    ]
    assert chat_figures([turns]) == {
        "turn_1_ttft_s": 2.0,
        "turn_1_computed_tokens": 100,
        "turn_2_ttft_s": 0.5,
        "turn_2_computed_tokens": 30,
    }


async def test_newcomer_arrives_when_every_stream_has_had_quiet_tokens() -> None:
    target = FakeTarget()
    figures = await Newcomer("n", streams=3, quiet_tokens=5).run(target, "s")
    *streams, newcomer = target.calls
    assert len(streams) == 3
    assert len(newcomer.messages[0].content) > len(streams[0].messages[0].content)
    assert {"quiet_itl_p95_s", "beside_itl_p95_s", "newcomer_ttft_s"} <= set(figures)


def test_newcomer_figures_part_the_gaps_at_its_arrival() -> None:
    # One gap of 1 s before, one of 5 s that it causes, one of 2 s after it.
    stream = make_answer(1.0, 2.0, 3.0, 8.0, 10.0)
    newcomer = make_answer(7.0, started_s=3.5)
    figures = newcomer_figures([stream], newcomer, arrived_s=3.5)
    assert figures["quiet_itl_p95_s"] == 1.0
    assert figures["beside_itl_max_s"] == 5.0
    assert figures["newcomer_ttft_s"] == 3.5


async def test_two_keys_send_the_few_alone_first_and_then_after_the_many() -> None:
    target = FakeTarget()
    await TwoKeys("t", many=5, few=2, max_tokens=1).run(target, "s")
    assert [call.key for call in target.calls] == [1, 1, 0, 0, 0, 0, 0, 1, 1]


def test_two_keys_figures_are_means_and_their_ratio() -> None:
    figures = two_keys_figures(
        [make_answer(1.0, 2.0), make_answer(1.0, 4.0)],
        [make_answer(2.0, 6.0), make_answer(4.0, 12.0)],
    )
    assert figures["few_ttft_alone_s"] == 1.0
    assert figures["few_ttft_beside_s"] == 3.0
    assert figures["few_latency_alone_s"] == 3.0
    assert figures["few_latency_beside_s"] == 9.0
    assert figures["few_slowdown"] == 3.0


def test_texts_begin_with_their_salt() -> None:
    assert text(20, "one").split()[0] == "one"
    assert text(20, "one") == text(20, "one")
    assert text(20, "one").split()[1:] != text(20, "two").split()[1:]


@pytest.mark.model
def test_words_are_single_tokens_of_the_sample_model(sample_model_path: object) -> None:
    from inference.engine import EngineConfig
    from inference.engine.llama import LlamaBackend

    backend = LlamaBackend(
        EngineConfig(paths=(str(sample_model_path),), n_ctx=256, n_seq_max=1)
    )
    try:
        tokenize = backend.tokenizer.tokenize
        assert all(len(tokenize(f" {word}", special=False)) == 1 for word in WORDS)
        assert len(tokenize(text(600, "shared-16-r0"), special=False)) == pytest.approx(
            600, rel=0.02
        )
    finally:
        backend.close()
