from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine import SamplingParams
from inference.engine.config.cache_layout import CacheLayout
from inference.engine.kv_cache.slots import Slots
from inference.engine.scheduling.fair_queue import FairQueue
from inference.engine.scheduling.key_shares import KeyShares
from inference.engine.scheduling.prefix_waiting import PrefixWaiting
from inference.engine.scheduling.step_planner import StepPlanner
from inference.engine.scheduling.step_times import StepTimes
from tests.inference.engine.sequences import compute, sequence, start

if TYPE_CHECKING:
    from inference.engine.sequence import Sequence

N_BATCH = 32


class Desk:
    """A planner of batches of 32 tokens, with as many logits."""

    def __init__(self, n_outputs_max: int = N_BATCH) -> None:
        self.queue: FairQueue[Sequence] = FairQueue()
        self.slots = Slots(CacheLayout(n_ctx=128, n_seq_max=4, n_cells=512))
        times = StepTimes()
        self.planner = StepPlanner(
            self.queue,
            self.slots,
            times,
            PrefixWaiting(self.slots),
            KeyShares(self.queue, self.slots, times),
            n_batch=N_BATCH,
            n_outputs_max=n_outputs_max,
        )

    def prompt(self, length: int, params: SamplingParams | None = None) -> Sequence:
        first = 1000 * len(self.slots.running)
        tokens = list(range(first, first + length))
        return start(sequence(tokens, params=params), self.slots, self.queue)

    def decoding(self, params: SamplingParams | None = None) -> Sequence:
        new = self.prompt(4, params)
        compute(new, self.slots)
        new.tokens.append(7)
        return new

    def sizes(self, drafts: dict[Sequence, list[int]] | None = None) -> dict[int, int]:
        plan = self.planner.plan(self.slots.running, drafts or {})
        return {item.sequence.slot or 0: len(item.tokens) for item in plan.items}


def test_decodes_come_first_and_a_prompt_gets_the_rest_of_the_batch() -> None:
    desk = Desk()
    for _ in range(2):
        desk.decoding()
    desk.prompt(100)
    assert desk.sizes() == {0: 1, 1: 1, 2: N_BATCH - 2}


def test_only_the_end_of_a_prompt_yields_a_token() -> None:
    desk = Desk()
    prompt = desk.prompt(40)
    (piece,) = desk.planner.plan([prompt], {}).items
    assert (piece.start, len(piece.tokens), piece.samples) == (0, N_BATCH, False)
    compute(prompt, desk.slots, N_BATCH)
    (piece,) = desk.planner.plan([prompt], {}).items
    assert (piece.start, len(piece.tokens), piece.samples) == (N_BATCH, 8, True)


def test_the_plan_is_in_the_order_of_the_slots() -> None:
    desk = Desk()
    desk.prompt(5)
    desk.decoding()
    plan = desk.planner.plan(desk.slots.running[::-1], {})
    assert [item.sequence.slot for item in plan.items] == [0, 1]


def test_drafts_follow_the_newest_token() -> None:
    desk = Desk()
    first, second = desk.decoding(), desk.decoding()
    plan = desk.planner.plan([first, second], {second: [8, 9]})
    assert [list(item.tokens) for item in plan.items] == [[7], [7, 8, 9]]
    assert [item.num_draft for item in plan.items] == [0, 2]
    assert [item.num_outputs for item in plan.items] == [1, 3]


def test_a_draft_is_no_longer_than_the_answer_may_be() -> None:
    desk = Desk()
    short = desk.decoding(SamplingParams(max_tokens=4))
    long = desk.decoding()
    budget = desk.planner.draft_budget([short, long])
    # One is out, one comes anyway: two of four are left.
    assert budget.limits[short] == 2
    assert budget.limits[long] == 128 - len(long.tokens)
    assert budget.tokens == 2
    assert budget.total == N_BATCH - 2


def test_prompts_with_log_probabilities_keep_to_the_logits_that_there_are() -> None:
    desk = Desk(n_outputs_max=10)
    desk.decoding()
    desk.prompt(30, SamplingParams(prompt_logprobs=1))
    assert desk.sizes() == {0: 1, 1: 9}


def test_forced_tokens_go_along_if_there_is_room() -> None:
    desk = Desk()
    forced = desk.decoding()
    forced.tokens += [8, 9]
    forced.num_forced = 2
    (item,) = desk.planner.plan([forced], {}).items
    assert list(item.tokens) == [7, 8, 9]
    assert (item.num_forced, item.is_decode) == (2, True)
