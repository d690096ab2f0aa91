from __future__ import annotations

import pytest

from inference.engine.scheduling.fairness.fair_shares import KeyDemand
from inference.engine.scheduling.fairness.visits import Visits

ONE = {"A": KeyDemand(1)}


def come(visits: Visits, *, came_at: float, now: float, stay_s: float) -> None:
    """Let a key's request come, begin and end."""
    visits.note(ONE, {"A": came_at}, now)
    visits.leave((), now + stay_s)


def test_a_key_is_due_a_usual_pause_after_it_has_left() -> None:
    visits = Visits()
    for turn in range(20):
        # It waits for a step of others before it begins, which is no part of its pause.
        come(visits, came_at=turn + 0.0, now=turn + 0.3, stay_s=0.1)
    due = visits.due("A")
    assert due.at == pytest.approx(19.4 + 0.6)
    assert due.stay_s == pytest.approx(0.1)
    # It is as regular as a clock, and may be late once by half of its pause.
    assert due.until == pytest.approx(due.at + 0.3)


def test_a_key_with_irregular_pauses_is_late_only_after_a_while() -> None:
    visits = Visits()
    left_at = 0.0
    for pause_s in [0.8, 1.0] * 30:
        came_at = left_at + pause_s
        come(visits, came_at=came_at, now=came_at, stay_s=0.1)
        left_at = came_at + 0.1
    due = visits.due("A")
    assert 0.8 < due.at - left_at < 1.0
    assert due.until - left_at > 1.2


def test_a_key_that_has_come_once_is_not_expected() -> None:
    visits = Visits()
    come(visits, came_at=0.0, now=0.0, stay_s=0.1)
    assert visits.expected(0.11) == {}
    come(visits, came_at=0.2, now=0.2, stay_s=0.1)
    assert visits.expected(0.31) == ONE
