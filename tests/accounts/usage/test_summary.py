"""Sums of days by what is asked for, and which days a text means."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from accounts.models import UsageDay
from accounts.usage import summary
from accounts.usage.summary import (
    TooManyUsageRows,
    UsagePeriod,
    day_from,
    today,
    usage_summary,
)

pytestmark = pytest.mark.django_db

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)
NOVEMBER = UsagePeriod(FIRST, LAST)


def add(day: int, key: int, model: int = 7, **fields: Any) -> None:
    UsageDay.objects.create(
        day=date(2026, 11, day),
        key_id=key,
        key_prefix=f"sk-{key}",
        key_name=f"key {key}",
        owner_id=1,
        owner_name="ann",
        model_id=model,
        model_name=f"model {model}",
        requests=2,
        failed=1,
        prompt_tokens=10,
        completion_tokens=key,
        cost=1_500_000_000,
        **fields,
    )


def test_days_are_in_their_order_and_keys_by_what_they_used() -> None:
    add(3, 1)
    add(2, 5)
    add(2, 1)
    assert [(g["day"], g["requests"]) for g in usage_summary(NOVEMBER, ["day"])] == [
        ("2026-11-02", 4),
        ("2026-11-03", 2),
    ]
    by_key = usage_summary(NOVEMBER, ["key"])
    assert [(g["key"], g["key_name"], g["cost"]) for g in by_key] == [
        ("sk-5", "key 5", 1.5),
        ("sk-1", "key 1", 3.0),
    ]


def test_several_are_added_up_together() -> None:
    add(2, 1, model=7)
    add(2, 1, model=8)
    add(3, 1, model=8)
    groups = usage_summary(NOVEMBER, ["day", "model"])
    assert [(g["day"], g["model"]) for g in groups] == [
        ("2026-11-02", "model 7"),
        ("2026-11-02", "model 8"),
        ("2026-11-03", "model 8"),
    ]


def test_a_filter_leaves_the_others_out() -> None:
    add(2, 1)
    add(2, 2)
    (total,) = usage_summary(NOVEMBER, [], key="sk-2")
    assert (total["requests"], total["completion_tokens"]) == (2, 2)
    (nothing,) = usage_summary(NOVEMBER, [], owner="bob")
    assert nothing["requests"] == 0


def test_too_many_groups_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "MAX_ROWS", 1)
    add(2, 1)
    add(2, 2)
    with pytest.raises(TooManyUsageRows):
        usage_summary(NOVEMBER, ["key"])


def test_a_day_is_a_date_or_some_days_ago() -> None:
    assert day_from("2026-11-29") == date(2026, 11, 29)
    assert day_from("0d") == today()
    assert day_from("2w") == today() - timedelta(days=14)


@pytest.mark.parametrize("text", ["", "yesterday", "7", "d7", "2026-13-01", "-1d"])
def test_another_text_is_no_day(text: str) -> None:
    with pytest.raises(ValueError, match="no day"):
        day_from(text)
