from __future__ import annotations

import pytest

from inference.engine.scheduling.fairness.anticipation import Anticipation
from inference.engine.scheduling.fairness.visits import Due
from tests.fakes import Clock

STEP_S = 0.04


class Engine:
    """Steps of heavy keys, each as long as the others."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ahead = Anticipation(self.clock)

    def wait_s(self, *awaited: Due) -> float:
        return self.ahead.wait_s(awaited)

    def step(self, *awaited: Due) -> None:
        assert self.wait_s(*awaited) == 0
        self.clock.now += STEP_S
        self.ahead.end_step()

    def due(self, in_s: float, *, late_s: float = 0.02, stay_s: float = 0.01) -> Due:
        at = self.clock.now + in_s
        return Due(at, at + late_s, stay_s)


@pytest.fixture
def engine() -> Engine:
    """An engine that has run many steps, and may wait as long as it ever may."""
    engine = Engine()
    for _ in range(60):
        engine.step(engine.due(1000.0))
    return engine


def test_it_waits_until_a_key_that_is_due_is_late(engine: Engine) -> None:
    due = engine.due(0.01)
    assert engine.wait_s(due) == pytest.approx(0.03)
    engine.clock.now += 0.02
    assert engine.wait_s(due) == pytest.approx(0.01)
    engine.clock.now += 0.011
    assert engine.wait_s(due) == 0


def test_a_step_begins_that_ends_before_the_key_is_due(engine: Engine) -> None:
    assert engine.wait_s(engine.due(1.01 * STEP_S)) == 0


def test_a_step_begins_that_is_little_beside_what_the_keys_own_request_takes(
    engine: Engine,
) -> None:
    # It would wait for three quarters of the step.
    assert engine.wait_s(engine.due(0.25 * STEP_S, stay_s=1.4 * STEP_S)) > 0
    assert engine.wait_s(engine.due(0.25 * STEP_S, stay_s=1.6 * STEP_S)) == 0


def test_it_waits_no_longer_than_a_step_takes(engine: Engine) -> None:
    due = engine.due(0.01, late_s=10.0)
    assert engine.wait_s(due) == pytest.approx(STEP_S, rel=0.01)


def test_without_anybody_who_is_due_nothing_waits(engine: Engine) -> None:
    assert engine.wait_s() == 0


def test_before_a_step_was_seen_nothing_waits() -> None:
    engine = Engine()
    assert engine.wait_s(engine.due(0.001)) == 0


def test_it_waits_for_a_part_of_the_time_only() -> None:
    engine = Engine()
    steps_s = 0.0
    for _ in range(200):
        # A key that never comes, and seems to be due all the time.
        due = engine.due(0.001, late_s=1.0)
        engine.clock.now += engine.wait_s(due)
        if engine.wait_s(due) == 0:
            engine.step(due)
            steps_s += STEP_S
    assert 0.6 * steps_s < engine.ahead.waited_s <= steps_s


def test_a_wait_that_is_too_short_for_the_key_to_come_is_none() -> None:
    engine = Engine()
    for _ in range(30):
        engine.step(engine.due(1000.0))
    # Waits until too little is left.
    while (wait_s := engine.wait_s(due := engine.due(0.001))) > 0.02:
        engine.clock.now += wait_s
    assert engine.wait_s(engine.due(0.03)) == 0
    assert due.until > engine.clock.now
    # Nor is it for one that is due then, beside one that is late already.
    assert engine.wait_s(engine.due(0.03), engine.due(-1.0)) == 0
