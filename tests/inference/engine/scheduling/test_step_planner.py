from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine import SamplingParams
from inference.engine.config.cache_layout import CacheLayout
from inference.engine.kv_cache.slots import Slots
from inference.engine.scheduling.fairness.fair_queue import FairQueue
from inference.engine.scheduling.fairness.key_shares import KeyShares
from inference.engine.scheduling.pacing.prefill_room import MIN_PIECE
from inference.engine.scheduling.pacing.step_times import StepTimes
from inference.engine.scheduling.prefix_waiting import PrefixWaiting
from inference.engine.scheduling.step_planner import HEAD_START, StepPlanner
from tests.fakes import Clock
from tests.inference.engine.sequences import compute, sequence, start

if TYPE_CHECKING:
    from inference.engine.sequence import Sequence

N_BATCH = 32


class Desk:
    """A planner of batches of 32 tokens, with as many logits."""

    def __init__(
        self,
        n_outputs_max: int = N_BATCH,
        n_batch: int = N_BATCH,
        n_seq_max: int = 4,
    ) -> None:
        self.queue: FairQueue[Sequence] = FairQueue()
        self.slots = Slots(CacheLayout(512, n_seq_max, 512 * n_seq_max))
        self.clock = Clock()
        self.times = times = StepTimes()
        self.shares = KeyShares(self.queue, self.slots, times, clock=self.clock)
        self.planner = StepPlanner(
            self.queue,
            self.slots,
            times,
            PrefixWaiting(self.slots),
            self.shares,
            n_batch=n_batch,
            n_outputs_max=n_outputs_max,
        )

    def prompt(
        self, length: int, params: SamplingParams | None = None, *, key: str = ""
    ) -> Sequence:
        first = 1000 * len(self.slots.running)
        tokens = list(range(first, first + length))
        new = sequence(tokens, params=params, key=key)
        return start(new, self.slots, self.queue)

    def next_turn(self, *, cached: int, new: int, key: str = "") -> Sequence:
        """Return a prompt whose first tokens an earlier turn has computed."""
        turn = self.prompt(cached + new, key=key)
        compute(turn, self.slots, cached)
        turn.num_cached = cached
        return turn

    def decoding(
        self, params: SamplingParams | None = None, *, key: str = ""
    ) -> Sequence:
        new = self.prompt(4, params, key=key)
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
    assert budget.limits[long] == 512 - len(long.tokens)
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


def learned(desk: Desk) -> Desk:
    """Return a desk that knows: a pass takes 4 ms, a token 1 ms, a decode 10 ms."""
    for size in (8, 16, 30):
        desk.times.calibrate_prefill(size, 0, 0.004 + 0.001 * size)
    for count in (1, 4):
        desk.times.calibrate(count, 0.010)
    return desk


def test_several_short_prompts_beside_a_decode_are_computed_in_one_step() -> None:
    desk = learned(Desk())
    desk.decoding()
    # 15 ms are left beside the decode, more while more begin than decode.
    desk.prompt(8)
    desk.prompt(9)
    assert desk.sizes() == {0: 1, 1: 8, 2: 9}


def test_a_conversations_short_turn_goes_before_a_long_prompt_that_came_earlier() -> (
    None
):
    desk = learned(Desk())
    desk.decoding()
    long = desk.prompt(100)
    turn = desk.next_turn(cached=60, new=6)
    plan = desk.planner.plan(desk.slots.running, {})
    pieces = {item.sequence: len(item.tokens) for item in plan.items}
    assert pieces[turn] == 6
    assert pieces[long] == N_BATCH - 1 - 6


def test_a_long_prompt_waits_for_no_turn_that_came_much_later() -> None:
    desk = learned(Desk())
    desk.decoding()
    long = desk.prompt(100)
    for _ in range(HEAD_START):
        sequence([1])  # A request that came in between.
    turn = desk.next_turn(cached=60, new=6)
    sizes = desk.sizes()
    assert sizes[long.slot or 0] >= MIN_PIECE
    assert sizes.get(turn.slot or 0, 0) == 0


def test_a_turn_of_a_key_that_was_served_more_goes_after_the_other_keys_prompt() -> (
    None
):
    desk = learned(Desk())
    desk.decoding()
    long = desk.prompt(100, key="quiet")
    turn = desk.next_turn(cached=60, new=6, key="loud")
    desk.queue.charge(turn, output=1000)
    sizes = desk.sizes()
    assert sizes[long.slot or 0] >= MIN_PIECE
    assert sizes.get(turn.slot or 0, 0) == 0


def loud_and(desk: Desk, quiet: Sequence) -> list[Sequence]:
    """Return two prompts of a loud key, beside a quiet one's sequence."""
    loud = [desk.prompt(100, key="loud") for _ in range(2)]
    for each in loud:
        desk.queue.charge(each, output=1000)
    desk.shares.update([quiet, *loud])
    return loud


def test_the_first_token_of_a_light_key_waits_for_no_prompts_of_others() -> None:
    desk = learned(Desk())
    prompt = desk.prompt(8, key="quiet")
    loud_and(desk, prompt)
    assert desk.sizes() == {prompt.slot: 8}


def test_the_first_token_of_a_cached_prompt_waits_for_none_either() -> None:
    desk = learned(Desk())
    cached = desk.decoding(key="quiet")
    loud_and(desk, cached)
    assert desk.sizes() == {cached.slot: 1}


def test_only_a_light_keys_sequences_have_drafts_beside_it() -> None:
    desk = Desk()
    quiet = desk.decoding(key="quiet")
    loud = [desk.decoding(key="loud") for _ in range(2)]
    assert all(desk.planner.draft_budget([quiet, *loud]).limits.values())
    desk.shares.update([quiet, *loud])
    limits = desk.planner.draft_budget([quiet, *loud]).limits
    assert limits[quiet] > 0
    assert [limits[each] for each in loud] == [0, 0]
    # Nobody is here or due.
    desk.shares.update(loud)
    assert all(desk.planner.draft_budget(loud).limits.values())


def test_prompts_take_no_more_of_a_light_keys_time_than_its_own_tokens() -> None:
    desk = learned(Desk())
    stream = desk.decoding(key="quiet")
    loud_and(desk, stream)
    own_s = others_s = longest_s = 0.0
    for _ in range(30):
        sizes = desk.sizes()
        assert sizes.pop(stream.slot or 0) == 1
        seconds = sum(0.004 + 0.001 * size for size in sizes.values())
        own_s += 0.010
        others_s += seconds
        longest_s = max(longest_s, seconds)
    assert 0.5 * own_s <= others_s <= own_s + longest_s


def test_prompts_of_one_key_make_no_step_long_that_another_may_come_in() -> None:
    desk = learned(Desk(n_batch=1024, n_seq_max=32))
    stream = desk.decoding(key="loud")
    running = [stream, *(desk.prompt(30, key="loud") for _ in range(30))]

    def prompt_tokens(*more: Sequence) -> int:
        desk.shares.update([*running, *more])
        plan = desk.planner.plan([*running, *more], {})
        return sum(len(item.tokens) for item in plan.items) - 1

    # As many as begin beside one stream make its step longer.
    assert prompt_tokens() > 500
    prompt_tokens(desk.prompt(8, key="other"))
    # Now four times as long as beside a stream, where a decode takes 10 ms.
    assert 60 <= prompt_tokens() <= 90


def test_a_key_fills_whole_batches_while_no_other_one_was_there_for_a_minute() -> None:
    desk = learned(Desk(n_batch=256))

    def step(*keys: str) -> int:
        """Return the tokens of a step, where these keys have sequences."""
        running = [s for s in desk.slots.running if s.request.share in keys]
        desk.shares.update(running)
        plan = desk.planner.plan(running, {})
        return sum(len(item.tokens) for item in plan.items)

    desk.prompt(400, key="loud")
    assert step("loud") == 256
    desk.prompt(8, key="quiet")
    step("loud", "quiet")
    desk.clock.now += 30
    step("loud")
    # Four times as long as beside a stream, where a decode takes 10 ms.
    assert 80 <= step("loud") <= 90
    desk.clock.now += 31
    step("loud")
    assert step("loud") == 256
