from __future__ import annotations

import pytest

from benchmarks.reporting.windows import Parts, of_the_slowest, ratios


def test_each_window_is_compared_with_those_around_it() -> None:
    # The machine becomes slower by half each time.
    alone = [[1.0] * 20, [2.0] * 20, [4.0] * 20]
    beside = [[3.0] * 20, [6.0] * 20]
    assert ratios(alone, beside) == [2.0, 2.0]


def test_one_slow_request_of_twenty_is_not_the_p95() -> None:
    alone = [[1.0] * 20, [1.0] * 20]
    assert ratios(alone, [[*[1.5] * 19, 100.0]]) == [1.5]
    assert ratios(alone, [[*[1.5] * 18, 100.0, 100.0]]) == [100.0]


def test_a_window_without_one_after_it_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios([[1.0]], [[1.0]])


def test_where_the_slowest_tenth_spends_its_time() -> None:
    fast = [Parts(0.01, 0.01, 0.01)] * 18
    slow = [Parts(0.5, 0.1, 0.2), Parts(0.7, 0.1, 0.0)]
    found = of_the_slowest([*fast, *slow])
    assert found is not None
    assert (found.start_s, found.token_s, found.rest_s) == pytest.approx(
        (0.6, 0.1, 0.1)
    )
    assert of_the_slowest([]) is None
