"""Numbers as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from llm_manager.lib.units import human_age, human_bytes, human_count, human_span

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (4_917_000_000, "4.6 GiB"),
        (200 * 1024**2, "200 MiB"),
        (1023 * 1024**2, "1.0 GiB"),
        (5 * 1024**5, "5120 TiB"),
    ],
)
def test_bytes(size: int | None, text: str) -> None:
    assert human_bytes(size) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"),
        (0, "0"),
        (131_072, "131,072"),
        (6_204_118, "6.2 M"),
        (8_030_261_312, "8.03 B"),
    ],
)
def test_counts(number: int | None, text: str) -> None:
    assert human_count(number) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=-3), "just now"),
        (timedelta(seconds=1), "just now"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=30), "1 d ago"),
        (timedelta(hours=3), "3 h ago"),
    ],
)
def test_ages(age: timedelta, text: str) -> None:
    assert human_age(NOW - age, NOW) == text


def test_never() -> None:
    assert human_age(None, NOW) == "never"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.34, "340 ms"),
        (4.24, "4.2 s"),
        (12, "12 s"),
        (59.4, "59.4 s"),
        (59.96, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3725, "1 h 2 min"),
    ],
)
def test_spans_are_in_the_units_that_people_use(
    seconds: float | None, text: str
) -> None:
    assert human_span(seconds) == text
