from __future__ import annotations

from inference.engine import EngineCore, Request, SamplingParams
from inference.engine.drafts import Acceptance, PromptLookup, draft_length
from tests.inference.engine.fakes import FakeBackend
from tests.inference.engine.test_core import run_outputs, tokens


def length(rate: float, *, token_s: float, limit: int = 8, batch: int = 1) -> int:
    return draft_length(
        rate,
        limit,
        tokens=batch,
        expected=batch,
        step_seconds=lambda count: 0.010 + token_s * (count - 1),
    )[0]


def test_what_followed_the_same_tokens_before_is_the_guess() -> None:
    lookup = PromptLookup()
    assert lookup.propose([1, 2, 3, 4, 5, 9, 1, 2, 3], 2) == [4, 5]
    assert lookup.propose([1, 2, 3, 4, 5, 9, 1, 2, 3, 4], 9) == [5, 9, 1, 2, 3, 4]


def test_the_newest_occurrence_counts() -> None:
    assert PromptLookup().propose([1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3], 1) == [8]


def test_what_never_came_before_gives_no_guess() -> None:
    lookup = PromptLookup()
    assert lookup.propose([1, 2], 4) == []
    assert lookup.propose([1, 2, 3, 4], 4) == []


def test_guesses_are_longer_the_better_they_are_and_the_less_they_cost() -> None:
    assert length(0.95, token_s=0.0001) == 8
    assert 1 <= length(0.6, token_s=0.001) < 8
    assert length(0.3, token_s=0.005) == 0


def test_a_full_batch_that_computes_at_its_limit_guesses_nothing() -> None:
    assert length(0.8, token_s=0.0027, batch=1) > 0
    assert length(0.5, token_s=0.010, batch=16) == 0


def test_a_sequence_whose_guesses_are_wrong_stops_and_tries_again_later() -> None:
    acceptance = Acceptance()
    for _ in range(20):
        acceptance.observe(4, 0)
    assert acceptance.rate < 0.1
    for _ in range(200):
        acceptance.rest()
    assert acceptance.rate > 0.4


def test_a_repeated_text_takes_fewer_steps_and_is_the_same() -> None:
    poem = "roses are red, violets are blue. "
    steps, texts = {}, {}
    for drafts in (False, True):
        backend = FakeBackend(n_ctx=512, n_batch=64, drafts_by_lookup=drafts)
        backend.script(poem, poem * 3)
        core = EngineCore(backend)
        core.times.calibrate(1, 0.010)
        core.times.calibrate(16, 0.012)
        core.add(Request("a", tokens(poem), SamplingParams()))
        outputs = run_outputs(core)
        texts[drafts] = "".join(output.text for output in outputs)
        steps[drafts] = len(backend.plans)
        core.check_integrity()
    assert texts[True] == texts[False] == poem * 3
    assert steps[True] < 0.5 * steps[False]
    assert outputs[-1].num_accepted > 50
    assert core.telemetry.snapshot()["counters"]["accepted_draft_tokens"] > 50
