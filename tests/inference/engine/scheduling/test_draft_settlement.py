from __future__ import annotations

import pytest

from inference.engine.config.cache_layout import CacheLayout
from inference.engine.kv_cache.operations import Reuse
from inference.engine.kv_cache.slots import Slots
from inference.engine.scheduling.draft_settlement import DraftSettlement
from inference.engine.scheduling.fairness.fair_queue import FairQueue
from inference.engine.speculative.prompt_lookup import PromptLookup
from inference.engine.step import StepItem
from tests.inference.engine.sequences import compute, sequence, start


@pytest.mark.parametrize(("accepted", "kept"), [(0, 6), (2, 8), (3, 9)])
def test_the_cells_of_wrong_tokens_are_dropped(accepted: int, kept: int) -> None:
    slots = Slots(CacheLayout(n_ctx=64, n_seq_max=1, n_cells=64))
    member = start(sequence([1, 2, 3, 4, 5]), slots, FairQueue())
    compute(member, slots)
    member.tokens.append(6)
    item = StepItem(member, [6, 7, 8, 9], start=5, samples=True, num_draft=3)
    compute(member, slots, 4)
    ops = DraftSettlement(slots).settle(item, accepted)
    assert ops == ([] if accepted == 3 else [Reuse(member, 0, kept)])
    assert member.num_computed == slots.cells.used == kept
    assert (member.num_drafted, member.num_accepted) == (3, accepted)


@pytest.mark.parametrize("prediction", [[], [2, 3, 4, 5, 6, 7]])
def test_what_a_prediction_gave_is_counted_apart(prediction: list[int]) -> None:
    slots = Slots(CacheLayout(n_ctx=64, n_seq_max=1, n_cells=64))
    member = start(sequence([2, 3, 4, 2, 3, 4]), slots, FairQueue())
    member.lookup = PromptLookup([], prediction)
    compute(member, slots)
    member.tokens.append(5)
    draft = member.lookup.propose([2, 3, 4], 1) or [9]
    item = StepItem(member, [5, *draft], start=6, samples=True, num_draft=1)
    compute(member, slots, 2)
    DraftSettlement(slots).settle(item, 1)
    counted = (member.num_predicted, member.num_predicted_right)
    assert counted == ((1, 1) if prediction else (0, 0))
    assert member.num_accepted == 1


def test_a_new_sequence_expects_what_was_seen_of_the_others() -> None:
    slots = Slots(CacheLayout(n_ctx=64, n_seq_max=1, n_cells=64))
    settlement = DraftSettlement(slots)
    member, untried = (sequence([1, 2, 3]) for _ in range(2))
    settlement.welcome(untried)
    start(member, slots, FairQueue())
    for _ in range(20):
        compute(member, slots, 2)
        item = StepItem(member, [3, 4], start=0, samples=True, num_draft=1)
        settlement.settle(item, 0)
        slots.cut(member, 0)
    later = sequence([1, 2, 3])
    settlement.welcome(later)
    assert later.acceptance.rate < untried.acceptance.rate
