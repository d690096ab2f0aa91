"""Requests under LoRA adapters: which run together, and what is reused."""

from __future__ import annotations

import pytest

from inference.engine import EngineCore, GenerationRequest, SamplingParams
from inference.engine.config.adapters import (
    AdapterNotLoaded,
    Adapters,
    adapter_set,
    check_loaded,
)
from inference.engine.scheduling.adapter_turns import TURN_STEPS, AdapterTurns
from tests.inference.engine.fakes import FakeBackend
from tests.inference.engine.scheduling.test_sharing import add, cached, make, run_texts
from tests.inference.engine.test_core import run, run_outputs, tokens
from tests.inference.engine.test_walk import written

PIRATE: Adapters = (("pirate", 1.0),)
POET: Adapters = (("poet", 0.5),)


def test_sets_of_the_same_meaning_are_equal() -> None:
    assert adapter_set([("b", 1.0), ("a", 0.5)]) == adapter_set(
        [("a", 0.5), ("b", 1.0)]
    )
    assert adapter_set([("a", 0.0)]) == ()


def test_an_adapter_that_is_not_loaded_is_named() -> None:
    check_loaded(PIRATE, ["pirate"])
    with pytest.raises(AdapterNotLoaded, match="'poet'"):
        check_loaded((*PIRATE, *POET), ["pirate"])


def test_every_set_gets_its_turn() -> None:
    turns = AdapterTurns()
    seen = []
    for _ in range(3 * 3 * TURN_STEPS):
        turns.prepare([(), PIRATE, POET])
        seen.append(turns.current)
        turns.count_step()
    assert [seen.count(each) for each in ((), PIRATE, POET)] == [3 * TURN_STEPS] * 3
    assert max(
        len(run)
        for each in ((), PIRATE, POET)
        for run in "".join("x" if s == each else " " for s in seen).split()
    ) == (TURN_STEPS)


def test_a_turn_ends_when_nobody_is_left_in_it() -> None:
    turns = AdapterTurns()
    turns.prepare([PIRATE, POET])
    first = turns.current
    other = POET if first == PIRATE else PIRATE
    turns.count_step()
    turns.prepare([other])
    assert turns.current == other
    turns.prepare([first, other])
    assert turns.current == other, "its turn has just begun"


def test_a_later_request_waits_for_one_turn_at_most() -> None:
    turns = AdapterTurns()
    for _ in range(5 * TURN_STEPS):
        turns.prepare([()])
        turns.count_step()
    turns.prepare([(), PIRATE])
    assert turns.current == PIRATE


def test_a_step_has_sequences_of_one_set_and_all_come_to_their_end() -> None:
    core, backend = make(n_seq_max=4)
    for name, adapters in (("a", ()), ("b", PIRATE), ("c", POET), ("d", PIRATE)):
        add(core, name, "the same prompt", limit=30, adapters=adapters)
    texts = run(core)
    assert texts == {
        "a": written("the same prompt", 30),
        "b": written("the same prompt", 30, PIRATE),
        "c": written("the same prompt", 30, POET),
        "d": written("the same prompt", 30, PIRATE),
    }
    for plan in backend.plans:
        assert len({i.sequence.request.adapters for i in plan.items}) == 1
    together = [p for p in backend.plans if len(p.items) == 2]
    assert len(together) >= 25, "those of one set run in one batch"


def test_a_prefix_is_taken_over_within_a_set_only() -> None:
    core, _ = make(n_seq_max=4)
    outputs = []
    for name, adapters in (
        ("plain", ()),
        ("first pirate", PIRATE),
        ("weaker", (("pirate", 0.5),)),
        ("second pirate", PIRATE),
    ):
        add(core, name, "S" * 100 + name, adapters=adapters)
        outputs += run_outputs(core)
    assert cached(outputs) == {
        "plain": 0,
        "first pirate": 0,
        "weaker": 0,
        "second pirate": 100,
    }
    assert run_texts(outputs)["second pirate"] == written(
        "S" * 100 + "second pirate", 4, PIRATE
    )


def test_those_that_share_a_prefix_wait_for_each_other_within_a_set_only() -> None:
    core, _ = make(n_seq_max=4)
    for name, adapters in (("a", PIRATE), ("b", PIRATE), ("c", POET)):
        add(core, name, "S" * 100 + name, adapters=adapters)
    assert cached(run_outputs(core)) == {"a": 0, "b": 100, "c": 0}


def test_a_preempted_sequence_comes_back_under_its_adapters() -> None:
    backend = FakeBackend(n_seq_max=2, n_ctx=64, n_cells=64, is_split=False)
    core = EngineCore(backend)
    for name, adapters in (("a", ()), ("b", PIRATE)):
        core.add(
            GenerationRequest(
                name,
                tokens("x" * 20),
                SamplingParams(max_tokens=25),
                adapters=adapters,
            )
        )
    texts = run(core)
    assert texts == {
        "a": written("x" * 20, 25),
        "b": written("x" * 20, 25, PIRATE),
    }
    assert core.telemetry.snapshot()["counters"]["preemptions"] >= 1
