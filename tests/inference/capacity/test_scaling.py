"""Replicas come when requests wait, and go when they have long had nothing to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from inference.capacity.scaling import ReplicaDemand, ScalingRules, ScalingState, scale

RULES = ScalingRules(least=1, most=3, up_wait_s=5, down_after_s=300)
SLOTS = 4


@dataclass
class Model:
    """A model under the rules, second by second."""

    rules: ScalingRules = RULES
    replicas: int = 1
    now: float = 1000.0
    state: ScalingState = field(default_factory=ScalingState)
    reasons: list[str] = field(default_factory=list)
    #: The times of changes, from the first second.
    changes: list[tuple[float, int]] = field(default_factory=list)

    def passes(
        self, seconds: int, *, wait_s: float = 0, running: int = 0, loads: bool = False
    ) -> int:
        """Let time pass with this demand; return how many replicas there are then."""
        for _ in range(seconds):
            ready = self.replicas - loads
            demand = ReplicaDemand(wait_s, running, ready * SLOTS, ready, self.replicas)
            found = scale(self.state, demand, self.rules, self.now)
            self.state = found.state
            if found.replicas is not None:
                self.replicas = found.replicas
                self.reasons.append(found.reason)
                self.changes.append((self.now - 1000, found.replicas))
            self.now += 1
        return self.replicas


def test_one_is_added_when_a_request_has_waited_for_long() -> None:
    model = Model()
    model.passes(10)
    assert model.passes(3, wait_s=4.9, running=4) == 1
    assert model.passes(1, wait_s=5, running=4) == 2
    assert "has waited for 5 s" in model.reasons[0]


def test_no_second_one_is_added_before_the_first_one_serves_and_has_had_time() -> None:
    model = Model()
    model.passes(10)
    assert model.passes(1, wait_s=6, running=4) == 2
    assert model.passes(100, wait_s=60, running=4, loads=True) == 2
    assert model.passes(5, wait_s=60, running=8) == 2
    assert model.passes(1, wait_s=60, running=8) == 3


def test_there_are_never_more_than_the_most_nor_fewer_than_the_least() -> None:
    model = Model(rules=ScalingRules(2, 3, 5, 300), replicas=2)
    assert model.passes(100, wait_s=100, running=8) == 3
    assert model.passes(5000) == 2


def test_one_goes_when_the_others_have_had_room_for_long() -> None:
    model = Model(replicas=3)
    assert model.passes(300, running=4) == 3
    assert model.passes(1, running=4) == 2
    assert "For 300 s nothing waited" in model.reasons[0]
    # Half of the slots that would be left are in use: it stays.
    assert model.passes(3000, running=3) == 2


def test_a_busy_moment_begins_the_time_again() -> None:
    model = Model(replicas=2)
    for _ in range(10):
        assert model.passes(299) == 2
        assert model.passes(1, wait_s=0.1, running=5) == 2


def test_one_that_waits_for_memory_goes_as_well() -> None:
    model = Model(replicas=2)
    assert model.passes(300, loads=True) == 2
    assert model.passes(1, loads=True) == 1


def test_a_load_on_the_edge_changes_nothing_to_and_fro() -> None:
    """ReplicaDemand that comes and goes every minute adds one, and takes none away."""
    model = Model()
    for _ in range(30):
        model.passes(30, wait_s=6, running=model.replicas * SLOTS)
        model.passes(30, running=SLOTS)
    assert [count for _, count in model.changes] == [2, 3]
