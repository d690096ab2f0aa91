from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.scheduling.pacing.least_squares import NonNegativeFit


def test_parts_that_explain_all_measurements_are_found() -> None:
    fit = NonNegativeFit(2)
    for number in (1.0, 2.0, 5.0):
        fit.add((1.0, number), 3.0 + 0.5 * number)
    assert fit.parts() == pytest.approx([3.0, 0.5])


def test_a_part_that_would_be_negative_is_none() -> None:
    fit = NonNegativeFit(2)
    for number, measured in ((1.0, 3.0), (2.0, 2.0), (3.0, 1.0)):
        fit.add((1.0, number), measured)
    assert fit.parts() == pytest.approx([2.0, 0.0])


def test_only_allowed_parts_are_found() -> None:
    fit = NonNegativeFit(2)
    fit.add((1.0, 4.0), 2.0)
    assert fit.parts((0,)) == pytest.approx([2.0, 0.0])


def test_nothing_is_found_before_anything_was_measured() -> None:
    assert NonNegativeFit(2).parts() is None


def test_what_has_faded_counts_less() -> None:
    fit = NonNegativeFit(1)
    fit.add((1.0,), 1.0)
    fit.fade(0.01)
    fit.add((1.0,), 2.0)
    assert fit.parts() == pytest.approx([2.0], rel=0.01)


@given(
    st.lists(
        st.tuples(st.floats(0, 10), st.floats(0, 10), st.floats(0.01, 10)),
        min_size=1,
        max_size=8,
    )
)
def test_no_part_is_negative(rows: list[tuple[float, float, float]]) -> None:
    fit = NonNegativeFit(2)
    for one, other, measured in rows:
        fit.add((one, other), measured)
    assert min(fit.parts() or [0.0]) >= 0
