"""Percentiles, rates, medians and ratios."""

from __future__ import annotations

import pytest

from benchmarks.reporting.figures import (
    Measurement,
    load_figures,
    percentile,
    summarize,
)
from tests.benchmarks.fakes import make_answer


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1), (50, 5), (90, 9), (91, 10), (95, 10), (100, 10)]
)
def test_percentile_is_the_value_of_the_nearest_rank(
    percent: float, value: float
) -> None:
    assert percentile([10, 1, 2, 3, 4, 5, 6, 7, 8, 9], percent) == value


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 95) == 7.0


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_rate_counts_from_the_first_request_to_the_last_token() -> None:
    figures = load_figures(
        [make_answer(2.0, 3.0, started_s=1.0), make_answer(4.0, 6.0, started_s=2.0)]
    )
    assert figures["tokens"] == 4
    assert figures["tokens_per_s"] == pytest.approx(4 / 5)


def test_ttft_counts_from_the_own_request() -> None:
    figures = load_figures(
        [make_answer(2.0, started_s=1.0), make_answer(5.0, started_s=2.0)]
    )
    assert figures["ttft_p50_s"] == 1.0
    assert figures["ttft_p95_s"] == 3.0


def test_itl_are_the_gaps_within_answers() -> None:
    figures = load_figures([make_answer(1.0, 2.0), make_answer(1.0, 4.0)])
    assert figures["itl_p50_s"] == 1.0
    assert figures["itl_p95_s"] == 3.0


def test_one_token_answers_have_no_itl() -> None:
    assert "itl_p50_s" not in load_figures([make_answer(1.0)])


def test_prompt_rate_counts_until_the_last_first_token() -> None:
    figures = load_figures(
        [
            make_answer(1.0, 9.0, prompt_tokens=30, cached_tokens=20),
            make_answer(4.0, 9.0, prompt_tokens=50, cached_tokens=0),
        ]
    )
    assert figures["prompt_tokens_per_s"] == pytest.approx(80 / 4)
    assert figures["cached_share"] == pytest.approx(20 / 80)


def test_a_value_that_a_system_does_not_report_has_no_figure() -> None:
    untold = load_figures([make_answer(1.0, prompt_tokens=None, cached_tokens=None)])
    assert "prompt_tokens_per_s" not in untold
    partly_reported = load_figures([make_answer(1.0, cached_tokens=None)])
    assert "prompt_tokens_per_s" in partly_reported
    assert "cached_share" not in partly_reported


def test_ratio_is_the_median_of_the_ratios_within_rounds() -> None:
    # The machine halves its speed from round to round; the ratio stays.
    rates = {"ours": [120.0, 60.0, 20.0], "base": [100.0, 50.0, 25.0]}
    measurements = [
        Measurement(number, "decode", system, {"tokens_per_s": rate})
        for system, by_round in rates.items()
        for number, rate in enumerate(by_round)
    ]
    ours, base = summarize(measurements, "base")
    assert ours.medians == {"tokens_per_s": 60.0}
    assert ours.ratios == {"tokens_per_s": pytest.approx(1.2)}
    assert base.ratios == {"tokens_per_s": 1.0}


def test_ratio_leaves_out_rounds_that_the_baseline_lacks() -> None:
    measurements = [
        Measurement(0, "decode", "ours", {"tokens_per_s": 10.0}),
        Measurement(1, "decode", "ours", {"tokens_per_s": 30.0}),
        Measurement(1, "decode", "base", {"tokens_per_s": 20.0}),
    ]
    ours, _ = summarize(measurements, "base")
    assert ours.ratios == {"tokens_per_s": 1.5}


def test_without_a_baseline_there_are_no_ratios() -> None:
    (only,) = summarize([Measurement(0, "w", "s", {"tokens_per_s": 1.0})], None)
    assert only.ratios == {}


def test_median_needs_the_figure_in_every_round() -> None:
    measurements = [
        Measurement(0, "w", "s", {"a": 1.0, "b": 1.0}),
        Measurement(1, "w", "s", {"a": 3.0}),
    ]
    (only,) = summarize(measurements, None)
    assert only.medians == {"a": 2.0}
