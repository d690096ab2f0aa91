"""Which sequences run, and what they share: prefixes, shares, preemption, growth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.engine import (
    EngineCore,
    GenerationRequest,
    SamplingParams,
    SequenceOutput,
)
from inference.engine.step import CellsExhausted
from tests.inference.engine.fakes import FakeBackend
from tests.inference.engine.test_core import run, run_outputs, tokens
from tests.inference.engine.test_walk import written

if TYPE_CHECKING:
    from inference.engine.step import Sampled, StepPlan

SYSTEM = "S" * 100


def make(**options: Any) -> tuple[EngineCore, FakeBackend]:
    backend = FakeBackend(**{"n_ctx": 256, "n_batch": 64, **options})
    return EngineCore(backend), backend


def add(core: EngineCore, name: str, prompt: str, limit: int = 4, **more: Any) -> None:
    core.add(
        GenerationRequest(
            name, tokens(prompt), SamplingParams(max_tokens=limit), **more
        )
    )


def cached(outputs: list[SequenceOutput]) -> dict[str, int]:
    return {output.request_id: output.num_cached for output in outputs}


def test_requests_that_share_a_prefix_and_come_together_prefill_it_once() -> None:
    core, backend = make(n_seq_max=8)
    for n in range(8):
        add(core, str(n), SYSTEM + f"question {n}")
    outputs = run_outputs(core)
    assert cached(outputs) == {"0": 0} | {str(n): 109 for n in range(1, 8)}
    assert backend.prefilled < 1.5 * len(SYSTEM) + 8 * 10
    texts = run_texts(outputs)
    assert texts == {str(n): written(SYSTEM + f"question {n}", 4) for n in range(8)}


def run_texts(outputs: list[SequenceOutput]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for output in outputs:
        texts[output.request_id] = texts.get(output.request_id, "") + output.text
    return texts


def test_the_others_continue_if_the_one_that_prefills_is_aborted() -> None:
    core, _ = make()
    for n in range(3):
        add(core, str(n), SYSTEM + f"question {n}")
    core.step()
    core.abort(["0"])
    assert run(core).keys() == {"1", "2"}


def test_a_request_that_shares_nothing_does_not_wait_for_those_that_do() -> None:
    core, _ = make()
    for n in range(3):
        add(core, str(n), SYSTEM + f"question {n}")
    add(core, "other", "hello")
    started = {output.request_id for output in core.step() if output.is_start}
    assert started == {"0", "other"}


def test_each_turn_of_a_conversation_prefills_only_what_is_new() -> None:
    core, backend = make()
    conversation = SYSTEM
    for turn in range(4):
        conversation += f"question {turn}"
        add(core, str(turn), conversation)
        before = backend.prefilled
        (text,) = run(core).values()
        conversation += text
        if turn:
            assert backend.prefilled - before <= len("question 0") + 1


def test_owners_do_not_share_prefixes_unless_the_model_says_so() -> None:
    for shares, expected in ((False, 0), (True, 100)):
        core, _ = make(shares_prefixes=shares)
        add(core, "a", SYSTEM + "1", owner="a")
        run(core)
        add(core, "b", SYSTEM + "2", owner="b")
        assert cached(run_outputs(core)) == {"b": expected}


def test_one_key_does_not_keep_another_from_the_slots() -> None:
    core, _ = make(n_seq_max=4)
    for n in range(20):
        add(core, f"A{n}", chr(0x1000 + n) * 5, limit=30, key="A")
    for _ in range(3):
        core.step()
    assert core.stats().num_running == 4
    for n in range(2):
        add(core, f"B{n}", chr(0x2000 + n) * 5, limit=5, key="B")
    finished: list[str] = []
    while len(finished) < 2:
        finished += [o.request_id for o in core.step() if o.finish_reason]
    assert finished == ["B0", "B1"]
    texts = run(core)
    assert len([name for name in texts if name.startswith("A")]) == 20


def test_a_preempted_sequence_continues_where_it_was() -> None:
    core, backend = make(n_seq_max=2)
    for n in range(2):
        add(core, f"A{n}", f"{n}" * 20, limit=20, key="A")
    early = run_steps(core, 8)
    add(core, "B", "b" * 20, limit=3, key="B")
    texts = run_texts([*early, *run_outputs(core)])
    assert texts == {
        "A0": written("0" * 20, 20),
        "A1": written("1" * 20, 20),
        "B": written("b" * 20, 3),
    }
    assert core.telemetry.snapshot()["counters"]["preemptions"] == 1
    # Its cells were saved, so nothing was computed twice.
    assert backend.prefilled <= 60


def run_steps(core: EngineCore, count: int) -> list[SequenceOutput]:
    return [output for _ in range(count) for output in core.step()]


def test_nobody_waits_for_a_prefix_of_one_that_is_held_back() -> None:
    core, _ = make(n_seq_max=4, n_batch=16, shares_prefixes=True)
    # Every sequence more costs as much as the first, so each key runs one.
    for count, seconds in ((1, 0.01), (4, 0.04)):
        core.times.calibrate(count, seconds)
    for n, prompt in enumerate(("a", "b", SYSTEM)):
        add(core, f"A{n}", prompt, limit=100, key="A")
    run_steps(core, 3)
    add(core, "B", SYSTEM + "B", limit=3, key="B")
    outputs = run_steps(core, 20)
    assert run_texts(outputs)["B"] == written(SYSTEM + "B", 3)


def test_the_lower_priority_number_of_a_key_runs_first() -> None:
    core, _ = make(n_seq_max=1)
    for name, priority in (("a", 0), ("late", 5), ("b", 0), ("early", -5)):
        add(core, name, name * 3, priority=priority)
    outputs = run_outputs(core)
    started = [output.request_id for output in outputs if output.is_start]
    assert started == ["early", "a", "b", "late"]


def test_when_cells_run_out_the_youngest_waits_and_none_fails() -> None:
    core, backend = make(n_seq_max=4, n_cells=120, n_ctx=120, is_split=False)
    for n in range(4):
        add(core, str(n), chr(0x1000 + n) * 20, limit=60)
    texts = run(core)
    assert texts == {str(n): written(chr(0x1000 + n) * 20, 60) for n in range(4)}
    assert core.telemetry.snapshot()["counters"]["preemptions"] > 0
    assert backend.num_used <= 120


def test_cached_prefixes_make_room_before_anything_that_runs() -> None:
    core, _ = make(n_seq_max=4, n_cells=200, n_ctx=200, is_split=False)
    add(core, "a", "a" * 100)
    run(core)
    add(core, "b", "b" * 150)
    run(core)
    counters = core.telemetry.snapshot()["counters"]
    assert counters["evictions"] == 1
    assert counters["preemptions"] == 0


def test_a_longer_request_makes_the_context_grow_and_the_others_go_on() -> None:
    core, backend = make(n_ctx=64, n_ctx_max=512, n_cells_max=1024)
    add(core, "short", "abc", limit=30)
    early = run_steps(core, 5)
    add(core, "long", "x" * 300, limit=5)
    texts = run_texts([*early, *run_outputs(core)])
    assert texts == {"short": written("abc", 30), "long": written("x" * 300, 5)}
    assert core.stats().n_ctx == 512
    assert backend.layout.n_seq_max == 2
    assert backend.layout.n_cells <= 1024


def test_a_context_that_grew_is_given_back_when_idle() -> None:
    core, backend = make(n_ctx=64, n_ctx_max=512, n_cells_max=1024)
    add(core, "long", "x" * 300)
    core.step()
    core.rest()
    assert core.stats().n_ctx == 512
    run(core)
    core.rest()
    assert core.stats().n_ctx == 64
    assert backend.layout.n_seq_max == 4


def test_an_answer_that_outgrows_the_context_continues_up_to_the_maximum() -> None:
    core, _ = make(n_ctx=64, n_ctx_max=128, n_cells_max=256)
    add(core, "a", "x" * 10, limit=1000)
    outputs = run_outputs(core)
    assert outputs[-1].finish_reason == "length"
    assert outputs[-1].num_output == 118


def test_without_memory_for_a_longer_context_only_the_long_request_fails() -> None:
    core, backend = make(n_ctx=64, n_ctx_max=512, n_cells_max=4096)
    backend.memory_for = 300
    add(core, "short", "abc", limit=30)
    early = run_steps(core, 5)
    add(core, "long", "x" * 300)
    outputs = [*early, *run_outputs(core)]
    (failed,) = [output for output in outputs if output.error]
    assert failed.request_id == "long"
    assert "no memory" in failed.error
    assert run_texts(outputs)["short"] == written("abc", 30)
    assert core.stats().n_ctx_max == 64


@pytest.mark.parametrize("limit", [0, 1])
def test_an_answer_may_be_asked_to_have_no_tokens(limit: int) -> None:
    core, _ = make()
    add(core, "a", "hello", limit=limit)
    outputs = run_outputs(core)
    assert outputs[-1].finish_reason == "length"
    assert outputs[-1].num_output == limit


def test_a_sequence_that_is_moved_in_its_first_step_keeps_its_prefix() -> None:
    core, _ = make(n_seq_max=16, n_batch=1000)
    prompts = [chr(0x1000 + n) * 40 for n in range(12)]
    # Slots 5 and 6 end first, then 10 and 11: what is left of the upper group is
    # small enough to be moved, in the very step in which slot 6 is taken over.
    for n, prompt in enumerate(prompts):
        add(core, str(n), prompt, {5: 1, 6: 1, 10: 4, 11: 4}.get(n, 30))
    early = core.step()
    while core.stats().num_running > 8:
        early += core.step()
    begin = prompts[6][:35]
    add(core, "next", begin + "more", 5)
    outputs = run_outputs(core)
    texts = run_texts([*early, *outputs])
    assert texts["next"] == written(begin + "more", 5)
    assert texts["9"] == written(prompts[9], 30)
    assert cached(outputs)["next"] == 35


def test_one_that_is_in_the_way_twice_gives_way_once() -> None:
    core, _ = make(n_seq_max=2, n_cells=60, n_ctx=60, is_split=False)
    for n in range(2):
        add(core, f"A{n}", chr(0x1000 + n) * 20, limit=30, key="A")
    early: list[SequenceOutput] = []
    while core.stats().kv_cells_used < 59:
        early += core.step()
    # There is no cell for the younger one, and another key wants its slot.
    add(core, "B", "b" * 5, limit=3, key="B")
    texts = run_texts([*early, *run_outputs(core)])
    assert texts == {
        "A0": written(chr(0x1000) * 20, 30),
        "A1": written(chr(0x1001) * 20, 30),
        "B": written("b" * 5, 3),
    }


class Fragmented(FakeBackend):
    """Has cells for at most two sequences, whatever the books say."""

    def decode(self, plan: StepPlan) -> dict[int, Sampled]:
        if len(plan.items) > 2:
            raise CellsExhausted("llama_decode returned 1")
        return super().decode(plan)


def test_a_sequence_without_cells_is_not_resumed_in_vain() -> None:
    core = EngineCore(Fragmented(n_seq_max=4, n_ctx=256, n_batch=64))
    for n in range(6):
        add(core, str(n), chr(0x1000 + n) * 20, limit=30)
    assert run(core) == {str(n): written(chr(0x1000 + n) * 20, 30) for n in range(6)}


def test_a_context_that_cannot_grow_is_tried_again_after_a_rest() -> None:
    core, backend = make(n_ctx=64, n_ctx_max=512, n_cells_max=4096)
    backend.memory_for = 300
    add(core, "grows", "abc", limit=100)
    (*_, last) = run_outputs(core)
    # What has got so far ends as one that reaches the end of its context does.
    assert (last.finish_reason, last.num_output) == ("length", 61)
    for n in range(2):
        add(core, f"long {n}", "x" * 300)
        (failed,) = run_outputs(core)
        assert failed.code == "context_length_exceeded"
        assert "64 tokens" in failed.error
        assert "300 tokens" in failed.error
    core.rest()
    backend.memory_for = 10**9
    add(core, "long", "x" * 300)
    assert run(core) == {"long": written("x" * 300, 4)}


def test_one_that_is_idle_only_stops_for_another_and_goes_on_after_it() -> None:
    core, _ = make(n_seq_max=4)
    add(core, "idle", "i" * 20, limit=30, idle_only=True)
    early = run_steps(core, 8)
    add(core, "live", "l" * 20, limit=10)
    outputs = run_outputs(core)
    ends = [output.request_id for output in outputs if output.finish_reason]
    assert ends == ["live", "idle"]
    names = [output.request_id for output in outputs if output.text]
    assert set(names[: names.index("live") + 10]) == {"live"}
    texts = run_texts([*early, *outputs])
    assert texts == {"idle": written("i" * 20, 30), "live": written("l" * 20, 10)}


def test_cells_of_what_is_idle_only_do_not_keep_others_from_starting() -> None:
    core, _ = make(n_seq_max=4, n_cells=120, n_ctx=120, is_split=False)
    for n in range(3):
        add(core, f"idle{n}", chr(0x1000 + n) * 20, limit=30, idle_only=True)
    early = run_steps(core, 12)
    add(core, "live", "l" * 90, limit=10)
    outputs = run_outputs(core)
    ends = [output.request_id for output in outputs if output.finish_reason]
    assert ends[0] == "live"
    assert len(ends) == 4
    texts = run_texts([*early, *outputs])
    assert texts["idle2"] == written(chr(0x1002) * 20, 30)


def test_an_idle_engine_gives_memory_back_once() -> None:
    core, backend = make()
    add(core, "a", "abc")
    core.step()
    core.rest()
    assert backend.num_compacted == 0
    run(core)
    for _ in range(2):
        core.rest()
    assert backend.num_compacted == 1
    core.check_integrity()


def test_if_the_cells_are_lost_by_that_the_next_request_is_computed_again() -> None:
    core, backend = make()
    add(core, "a", "abc")
    run(core)
    backend.loses_cells = True
    core.rest()
    core.check_integrity()
    add(core, "b", "abc")
    assert run(core)["b"] == written("abc", 4)
