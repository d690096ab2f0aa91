from __future__ import annotations

import random
from collections import Counter
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from inference.engine import EngineConfig, EngineCore, GenerationRequest, SamplingParams
from inference.engine.speculative.acceptance import Acceptance
from inference.engine.speculative.draft_lengths import DraftCandidate, draft_lengths
from inference.engine.speculative.prompt_lookup import PromptLookup
from inference.engine.speculative.verification import num_agreed, verified
from tests.inference.engine.fakes import FakeBackend, FakeDrafter, oracle
from tests.inference.engine.test_core import run_outputs, tokens

if TYPE_CHECKING:
    from inference.engine.config.adapters import Adapters


def lengths(
    *candidates: DraftCandidate,
    token_s: float,
    batch: int = 1,
    room: int = 100,
    pass_s: float = 0.0,
    batch_s: float = 0.0,
) -> list[int]:
    return draft_lengths(
        candidates,
        room,
        tokens=batch,
        expected=float(batch),
        step_seconds=lambda count: 0.010 + token_s * (count - 1),
        pass_seconds=lambda _count: pass_s,
        batch_s=batch_s,
    )


def length(rate: float, *, token_s: float, batch: int = 1) -> int:
    return lengths(DraftCandidate(rate, 8), token_s=token_s, batch=batch)[0]


def test_a_draft_of_one_among_many_must_pay_for_a_micro_batch() -> None:
    alone = DraftCandidate(0.9, 8)
    assert lengths(alone, token_s=0.0005, batch=8, batch_s=0.0)[0] > 0
    assert lengths(alone, token_s=0.0005, batch=8, batch_s=0.010) == [0]
    # Nobody else is there: its tokens are one micro-batch.
    assert lengths(alone, token_s=0.0005, batch=1, batch_s=0.010)[0] > 0


def test_drafts_of_one_length_share_a_micro_batch() -> None:
    both = [DraftCandidate(0.9, 8), DraftCandidate(0.9, 8)]
    first, second = lengths(*both, token_s=0.0005, batch=2, batch_s=0.010)
    assert first == second > 0


def engine(
    kind: type[FakeBackend] = FakeBackend, **shape: Any
) -> tuple[EngineCore, FakeBackend]:
    """Return an engine whose larger batches cost next to nothing.

    Its steps all take a millisecond, whatever the machine does.
    """
    backend = kind(n_ctx=512, n_batch=64, **shape)
    ticks = count()
    core = EngineCore(backend, clock=lambda: next(ticks) / 1000)
    core.times.calibrate(1, 0.010)
    core.times.calibrate(16, 0.012)
    return core, backend


# Where drafts come from -------------------------------------------------------


def test_the_draft_is_what_followed_the_same_tokens_before() -> None:
    lookup = PromptLookup()
    assert lookup.propose([1, 2, 3, 4, 5, 9, 1, 2, 3], 2) == [4, 5]
    assert lookup.propose([1, 2, 3, 4, 5, 9, 1, 2, 3, 4], 4) == [5, 9, 1, 2]


def test_a_loop_is_drafted_to_go_on() -> None:
    assert PromptLookup().propose([9, 7, 7, 7, 7], 4) == [7, 7, 7, 7]
    assert PromptLookup().propose([1, 2, 3, 1, 2, 3], 5) == [1, 2, 3, 1, 2]


def test_the_newest_occurrence_counts() -> None:
    assert PromptLookup().propose([1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3], 1) == [8]


def test_tokens_that_never_came_before_give_no_draft() -> None:
    lookup = PromptLookup()
    assert lookup.propose([1, 2], 4) == []
    assert lookup.propose([1, 2, 3, 4], 4) == []


def test_a_prediction_is_the_draft_from_the_answers_first_token_on() -> None:
    lookup = PromptLookup([7, 8, 9], [1, 2, 3, 4, 5, 6])
    assert lookup.propose([7, 8, 9], 3) == [1, 2, 3]
    assert lookup.propose([7, 8, 9, 1, 2, 3], 9) == [4, 5, 6]


def test_an_answer_that_comes_back_to_its_prediction_has_drafts_again() -> None:
    lookup = PromptLookup([7, 8, 9], [1, 2, 3, 4, 5, 6])
    assert lookup.propose([7, 8, 9, 1, 0, 0], 2) == []
    assert lookup.propose([7, 8, 9, 1, 0, 0, 2, 3, 4], 2) == [5, 6]


def test_a_phrase_that_a_prediction_repeats_goes_on_where_the_answer_is() -> None:
    lookup = PromptLookup([7, 8, 9], [1, 2, 3, 4, 0, 0, 0, 1, 2, 3, 5])
    assert lookup.propose([7, 8, 9, 1, 2, 3], 1) == [4]
    assert lookup.propose([7, 8, 9, 1, 2, 3, 4, 0, 0, 0], 1) == [1]
    assert lookup.propose([7, 8, 9, 1, 2, 3, 4, 0, 0, 0, 1, 2, 3], 1) == [5]


# How many pay -----------------------------------------------------------------


def test_drafts_are_longer_the_better_they_are_and_the_less_they_cost() -> None:
    assert length(0.95, token_s=0.0001) == 8
    assert 1 <= length(0.6, token_s=0.001) < 8
    assert length(0.3, token_s=0.005) == 0


def test_a_full_batch_that_computes_at_its_limit_has_no_drafts() -> None:
    assert length(0.8, token_s=0.0027, batch=1) > 0
    assert length(0.5, token_s=0.010, batch=16) == 0


def test_the_best_drafts_get_the_room() -> None:
    good, poor = DraftCandidate(0.9, 8), DraftCandidate(0.5, 8)
    assert lengths(poor, good, token_s=0.0, room=4) == [0, 4]
    assert lengths(poor, good, token_s=0.0, room=0) == [0, 0]


def test_a_draft_models_own_time_counts() -> None:
    drafted = DraftCandidate(0.8, 8, takes_passes=True)
    assert lengths(drafted, token_s=0.0001, pass_s=0.001)[0] >= 3
    assert lengths(drafted, token_s=0.0001, pass_s=0.009) == [0]


def test_passes_that_one_sequence_is_not_worth_are_worth_it_for_many() -> None:
    drafted = DraftCandidate(0.8, 8, takes_passes=True)
    # Of a batch of eight one alone would pay for whole passes.
    assert lengths(drafted, token_s=0.0001, pass_s=0.006, batch=8) == [0]
    together = lengths(*[drafted] * 8, token_s=0.0001, pass_s=0.006, batch=8)
    assert min(together) == max(together) >= 1


def test_a_sequence_whose_drafts_are_wrong_stops_and_tries_again_later() -> None:
    acceptance = Acceptance()
    for _ in range(20):
        acceptance.observe(4, 0)
    assert acceptance.rate < 0.1
    for _ in range(200):
        acceptance.rest()
    assert acceptance.rate > 0.6


def test_drafts_that_are_never_accepted_are_seldom_tried_again() -> None:
    drafter = FakeDrafter(wrong_every=1)
    core, _ = engine(drafter=drafter)
    for number in range(20):
        core.add(
            GenerationRequest(
                str(number), tokens("go on"), SamplingParams(max_tokens=20)
            )
        )
        run_outputs(core)
    asked = [sum(wanted.values()) for wanted in drafter.wanted]
    assert sum(asked) > 0
    drafter.wanted.clear()
    core.add(GenerationRequest("late", tokens("go on"), SamplingParams(max_tokens=10)))
    run_outputs(core)
    # One token now and then shows whether they have become right.
    assert sum(sum(wanted.values()) for wanted in drafter.wanted) <= 1


# What comes of them -----------------------------------------------------------


def test_tokens_are_drawn_as_far_as_the_draft_agrees() -> None:
    answer = [5, 6, 7, 8]
    for draft, given in (
        ([], [5]),
        ([5, 6], [5, 6, 7]),
        ([5, 9, 7], [5, 6]),
        ([9, 6, 7], [5]),
    ):
        came = verified(draft, lambda place: answer[place : place + 1])
        assert came == given
        assert num_agreed(draft, came) == len(given) - 1


def test_tokens_that_must_follow_need_no_drawing_and_count_as_agreed() -> None:
    said = {0: [5, 6, 7], 3: [8]}
    assert verified([5, 6, 7], said.__getitem__) == [5, 6, 7, 8]
    assert verified([5, 6, 9], said.__getitem__) == [5, 6, 7]
    assert verified([5], said.__getitem__) == [5, 6, 7]


def test_nothing_is_drawn_after_the_end() -> None:
    assert verified([5, 6], lambda place: [] if place else [5]) == [5]


@pytest.mark.parametrize("shape", [{"drafts_by_lookup": True}, {}], ids=str)
def test_a_repeated_text_takes_fewer_steps_and_is_the_same(
    shape: dict[str, Any],
) -> None:
    poem = "roses are red, violets are blue. "
    steps, texts = {}, {}
    for drafts in (False, True):
        core, backend = engine(**shape if drafts else {})
        backend.script(poem, poem * 3)
        # Without prompt lookup, the request may predict the answer.
        predicted = drafts and not shape
        core.add(
            GenerationRequest(
                "a",
                tokens(poem),
                SamplingParams(),
                prediction_token_ids=tuple(tokens(poem * 3)) if predicted else (),
            )
        )
        outputs = run_outputs(core)
        texts[drafts] = "".join(output.text for output in outputs)
        steps[drafts] = len(backend.plans)
        core.check_integrity()
    assert texts[True] == texts[False] == poem * 3
    # Each token of a draft that was right spares a step.
    accepted = outputs[-1].num_accepted
    assert steps[True] == steps[False] - accepted < steps[False]
    counters = core.telemetry.snapshot()["counters"]
    assert counters["accepted_draft_tokens"] == accepted


def test_a_prediction_is_no_use_where_nothing_can_be_taken_back() -> None:
    core, backend = engine(can_cut=False)
    backend.script("go", "abcdef")
    draft = tuple(tokens("abcdef"))
    core.add(
        GenerationRequest(
            "a", tokens("go"), SamplingParams(), prediction_token_ids=draft
        )
    )
    outputs = run_outputs(core)
    assert "".join(output.text for output in outputs) == "abcdef"
    assert outputs[-1].num_drafted == 0


def test_a_draft_model_takes_fewer_steps_until_its_own_time_is_too_much() -> None:
    steps, accepted = {}, {}
    for seconds in (0.0, 1.0):
        core, backend = engine(drafter=FakeDrafter(wrong_every=7, seconds=seconds))
        core.add(
            GenerationRequest("a", tokens("go on"), SamplingParams(max_tokens=100))
        )
        accepted[seconds] = run_outputs(core)[-1].num_accepted
        steps[seconds] = len(backend.plans)
    assert steps[0.0] == 100 - accepted[0.0] < 100
    assert steps[1.0] == 100


def test_forced_tokens_take_no_step_of_their_own() -> None:
    steps, texts = {}, {}
    for forces in (False, True):
        core, backend = engine(forces=forces)
        core.add(GenerationRequest("a", tokens("go on"), SamplingParams(max_tokens=60)))
        texts[forces] = "".join(output.text for output in run_outputs(core))
        steps[forces] = len(backend.plans)
        core.check_integrity()
    assert texts[True] == texts[False]
    assert len(texts[True]) == 60
    assert steps[False] == 60
    # The fake's grammar forces four tokens after one whose id can be divided by 3.
    place = sampled = 0
    while place < 60:
        place += 5 if ord(texts[True][place]) % 3 == 0 else 1
        sampled += 1
    assert steps[True] == sampled < 60


# The distribution -------------------------------------------------------------

#: What comes after a letter, and how often.
CHAIN = {
    "a": {"a": 0.05, "b": 0.65, "c": 0.2, "d": 0.1},
    "b": {"a": 0.3, "b": 0.1, "c": 0.5, "d": 0.1},
    "c": {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25},
    "d": {"a": 0.9, "b": 0.05, "c": 0.04, "d": 0.01},
}
#: The 99.9th percentile of chi-square with three degrees of freedom.
LIMIT = 16.27


class MostLikelyDrafts(FakeDrafter):
    """Drafts the letter that comes most often."""

    def _draft(self, tokens: list[int], count: int) -> list[int]:
        last, draft = chr(tokens[-1]), []
        for _ in range(count):
            after = CHAIN[last]
            last = max(after, key=lambda letter: after[letter])
            draft.append(ord(last))
        return draft


@pytest.mark.parametrize("source", ["lookup", "draft model"])
@pytest.mark.long
def test_what_is_drawn_has_the_targets_distribution(source: str) -> None:
    """Chi-square against the chain itself, over the letters after each letter."""
    luck = random.Random(20230301)

    class Chain(FakeBackend):
        def _next(self, text: str, adapters: Adapters) -> int:
            after = CHAIN[text[-1]]
            return ord(luck.choices(list(after), list(after.values()))[0])

    by_lookup = source == "lookup"
    core, _ = engine(
        kind=Chain,
        drafts_by_lookup=by_lookup,
        drafter=None if by_lookup else MostLikelyDrafts(),
    )
    seen: dict[str, Counter[str]] = {letter: Counter() for letter in CHAIN}
    accepted = drafted = 0
    for number in range(40):
        core.add(
            GenerationRequest(
                str(number), tokens("abcd"), SamplingParams(max_tokens=250)
            )
        )
        outputs = run_outputs(core)
        text = "d" + "".join(output.text for output in outputs)
        for before, after in pairwise(text):
            seen[before][after] += 1
        drafted += outputs[-1].num_drafted
        accepted += outputs[-1].num_accepted
    assert 0 < accepted < drafted
    for letter, shares in CHAIN.items():
        total = seen[letter].total()
        deviation = sum(
            (seen[letter][each] - total * share) ** 2 / (total * share)
            for each, share in shares.items()
        )
        assert deviation < LIMIT, letter


def test_the_oracle_alone_is_what_a_wrong_drafter_leads_to() -> None:
    core, _ = engine(drafter=FakeDrafter(wrong_every=3))
    core.add(GenerationRequest("a", tokens("go on"), SamplingParams(max_tokens=50)))
    text = "go on"
    for _ in range(50):
        text += oracle(text)
    answer = "".join(output.text for output in run_outputs(core))
    assert "go on" + answer == text


def test_nothing_is_drafted_beside_a_first_token() -> None:
    core, backend = engine()
    backend.script("go on", "abcdefgh")
    draft = tuple(tokens("abcdefgh"))
    for name in ("first", "cached"):
        core.add(
            GenerationRequest(
                name, tokens("go on"), SamplingParams(), prediction_token_ids=draft
            )
        )
        backend.plans.clear()
        run_outputs(core)
        drafted = [plan.items[0].num_draft for plan in backend.plans]
        assert drafted[0] == 0
        assert drafted[1] > 0


@pytest.mark.parametrize(("count", "may_draft"), [(2, True), (3, False)])
def test_what_few_may_look_up_many_may_not(count: int, *, may_draft: bool) -> None:
    poem = "roses are red, violets are blue. "
    backend = FakeBackend(n_ctx=512, n_batch=64, n_seq_max=4)
    backend.max_lookup_sequences = 2
    backend.script(poem, poem * 3)
    core = EngineCore(backend)
    core.times.calibrate(1, 0.010)
    core.times.calibrate(16, 0.012)
    for name in range(count):
        core.add(GenerationRequest(f"{name}", tokens(poem), SamplingParams()))
    run_outputs(core)
    together = [plan for plan in backend.plans if plan.num_decodes == count]
    assert together
    drafts = [item.num_draft for plan in together for item in plan.items]
    assert any(drafts) is may_draft


@pytest.mark.parametrize(
    ("draft", "most"), [("off", 0), ("auto", 2), ("lookup", 16), ("model", 0)]
)
def test_how_many_may_look_drafts_up(draft: str, most: int) -> None:
    config = EngineConfig(
        paths=("m.gguf",),
        n_ctx=512,
        n_seq_max=16,
        draft=draft,
        draft_paths=("d.gguf",),
    )
    assert config.max_lookup_sequences == most


def test_a_step_of_several_micro_batches_teaches_nothing_about_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core, backend = engine(drafts_by_lookup=True, n_seq_max=2)
    learned: list[int] = []
    monkeypatch.setattr(
        core.times, "observe", lambda count, *_, **__: learned.append(count)
    )
    poem = "roses are red, violets are blue. "
    backend.script(poem, poem * 3)
    backend.script("x", "The quick brown fox jumps over a lazy dog.")
    core.add(GenerationRequest("a", tokens(poem), SamplingParams()))
    core.add(GenerationRequest("b", tokens("x"), SamplingParams()))
    run_outputs(core)
    lengths = [
        {len(item.tokens) for item in plan.items if item.is_decode}
        for plan in backend.plans
    ]
    uneven = sum(len(each) > 1 for each in lengths)
    assert uneven
    assert len(learned) == len(backend.plans) - uneven
