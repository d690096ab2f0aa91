"""Which contexts are measured, in which order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.context_test.bisection import STEP, next_context


def search(limit: int, *, least: int, most: int, precision: int = 32) -> list[int]:
    """Return what is measured on a machine on which ``limit`` tokens work."""
    measured: list[int] = []
    while True:
        found = next_context(
            [n for n in measured if n <= limit],
            [n for n in measured if n > limit],
            least=least,
            most=most,
            precision=precision,
        )
        if found is None:
            return measured
        assert found not in measured
        measured.append(found)


def test_two_measurements_are_enough_if_the_largest_passes() -> None:
    assert search(10**9, least=512, most=8192) == [512, 8192]


def test_only_the_smallest_is_measured_if_that_fails() -> None:
    assert search(0, least=512, most=8192) == [512]


def test_after_the_estimate_has_failed_what_is_near_it_is_tried_first() -> None:
    measured = search(30_000, least=512, most=32_768)
    assert measured[:3] == [512, 32_768, 28_672]
    assert max(n for n in measured if n <= 30_000) > 30_000 - 1024


def test_one_size_is_measured_once() -> None:
    assert search(10**9, least=1000, most=1000) == [1000]


def test_nothing_is_measured_between_bounds_in_the_wrong_order() -> None:
    assert next_context([], [], least=1024, most=512) is None


def test_what_passed_beyond_the_asked_maximum_does_not_count_against_it() -> None:
    assert next_context([512, 8192], [], least=512, most=1024) == 1024
    assert next_context([512, 1024, 8192], [], least=512, most=1024) is None


@given(
    limit=st.integers(0, 150_000),
    least=st.integers(256, 4096),
    most=st.integers(256, 140_000),
)
@pytest.mark.parametrize("precision", [8, 32])
def test_the_result_is_as_close_as_the_precision_says(
    limit: int, least: int, most: int, precision: int
) -> None:
    measured = search(limit, least=least, most=most, precision=precision)
    assert len(measured) <= 16
    passed = [n for n in measured if n <= limit]
    if least > most:
        assert measured == []
    elif limit < least:
        assert passed == []
    else:
        reachable = min(limit, most)
        assert reachable - max(passed) <= max(STEP, most // precision)
