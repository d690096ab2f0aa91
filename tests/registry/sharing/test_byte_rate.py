"""Bytes pass at a rate, of all who share it."""

from __future__ import annotations

from registry.sharing.byte_rate import ByteRate


def test_who_comes_while_others_bytes_are_due_waits_for_these_too() -> None:
    now = 100.0
    rate = ByteRate(1000, clock=lambda: now)
    assert rate.passed(500) == 0.5
    assert rate.passed(1000) == 1.5
    now += 1.0
    assert rate.passed(500) == 1.0


def test_time_in_which_nothing_passed_is_not_saved_up() -> None:
    now = 100.0
    rate = ByteRate(1000, clock=lambda: now)
    rate.passed(500)
    now += 60.0
    assert rate.passed(500) == 0.5


def test_without_a_limit_nobody_waits() -> None:
    assert ByteRate(0).passed(2**40) == 0.0
