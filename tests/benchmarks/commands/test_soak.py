"""The problems that a soak test reports, and its requests."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from benchmarks.commands.soak import Record, random_call

MIB = 1024 * 1024


def make_record(**overrides: object) -> Record:
    values: dict[str, object] = {
        "counts": Counter(answered=10),
        "rss": [(share / 10, 500 * MIB) for share in range(11)],
        "workers": {7},
    }
    return Record(**{**values, **overrides})  # type: ignore[arg-type]


def test_a_quiet_record_has_no_problem() -> None:
    assert make_record().problems() == []


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"errors": Counter({"503 Busy": 2})}, "2 times: 503 Busy"),
        ({"counts": Counter()}, "No request was answered."),
        ({"workers": {7, 8}}, "2 workers have lived; one should have."),
        ({"left_over": 3}, "3 sequences are left over."),
        (
            {"rss": [(share / 10, (500 + 10 * share) * MIB) for share in range(11)]},
            "The worker has grown by 60 MiB.",
        ),
    ],
)
def test_each_problem_is_one_sentence(
    overrides: dict[str, object], problem: str
) -> None:
    assert make_record(**overrides).problems() == [problem]


def test_growth_while_warming_up_is_no_problem() -> None:
    rss = [(0.0, 100 * MIB), (0.1, 300 * MIB), (0.3, 500 * MIB), (0.9, 505 * MIB)]
    assert make_record(rss=rss).problems() == []


def test_random_calls_fit_the_context_and_use_every_key() -> None:
    chance = random.Random(1)
    calls = [random_call(chance, 3, 2048) for _ in range(500)]
    assert {call.key for call in calls} == {0, 1, 2}
    assert len({tuple(call.sampling) for call in calls}) > 2
    for call in calls:
        words = sum(len(message.content.split()) for message in call.messages)
        # The template needs the rest.
        assert 0 < words + call.max_tokens <= 2048 - 100
    assert any(call.max_tokens > 150 for call in calls)
    assert any(len(call.messages[-1].content.split()) > 1200 for call in calls)
