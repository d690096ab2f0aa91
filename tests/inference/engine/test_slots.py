from __future__ import annotations

import pytest

from inference.engine.slots import Slots


def test_the_lowest_free_slot_comes_first() -> None:
    slots = Slots(4)
    assert [slots.take() for _ in range(3)] == [0, 1, 2]
    slots.give_back(1)
    slots.give_back(0)
    assert slots.take() == 0
    assert slots.num_free == 2


def test_a_slot_given_back_twice_is_an_error() -> None:
    slots = Slots(2)
    slot = slots.take()
    slots.give_back(slot)
    with pytest.raises(KeyError):
        slots.give_back(slot)
    slots.check_integrity()


def test_the_audit_finds_a_lost_slot() -> None:
    slots = Slots(2)
    slots.take()
    slots._used.clear()
    with pytest.raises(AssertionError, match="lost"):
        slots.check_integrity()
