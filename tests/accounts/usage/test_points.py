"""Requests are added to the points of charts, once, in the zone of days."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.histogram import FIRST_TOKEN, SPEED
from accounts.models import PointStep, PointSubject, UsagePoint
from accounts.usage.ingestion import store
from accounts.usage.points import points_of
from accounts.usage.pruning import usage_prune
from tests.accounts.usage.test_ingestion import entry

if TYPE_CHECKING:
    from pytest_django.fixtures import DjangoAssertNumQueries


@pytest.mark.django_db
def test_a_request_is_in_eight_points_and_stored_again_in_no_other() -> None:
    request = entry(team_id=3, team_name="red", first_token_ms=100, tokens_per_second=9)
    store([request])
    store([request, entry(status=429, prompt_tokens=0, completion_tokens=0)])
    rows = UsagePoint.objects.filter(step=PointStep.DAY).order_by(
        "subject", "subject_id"
    )
    assert [(row.subject, row.name, row.requests, row.failed) for row in rows] == [
        (PointSubject.ALL, "", 2, 1),
        (PointSubject.MODEL, "tiny", 2, 1),
        (PointSubject.KEY, "mine", 2, 1),
        (PointSubject.TEAM, "", 1, 1),
        (PointSubject.TEAM, "red", 1, 0),
    ]
    total = UsagePoint.objects.get(step=PointStep.HOUR, subject=PointSubject.ALL)
    assert (total.prompt_tokens, total.completion_tokens) == (10, 5)
    assert sum(getattr(total, column) for column in FIRST_TOKEN.columns) == 1
    assert getattr(total, FIRST_TOKEN.column_of(100)) == 1
    assert getattr(total, SPEED.column_of(9)) == 1


@pytest.mark.django_db
def test_the_statements_of_a_batch_do_not_grow(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(6):
        store([entry(key_id=number, team_id=number) for number in range(50)])
    assert UsagePoint.objects.filter(subject=PointSubject.KEY).count() == 100


def test_hours_and_days_are_those_of_the_zone() -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    time = yesterday.replace(hour=20, minute=10, second=5, microsecond=0)
    row = {
        **entry(status=200),
        "time": time,
        "team_id": 0,
        "team_name": "",
        "failed": False,
        "first_token_ms": None,
        "tokens_per_second": None,
    }
    points, _ = points_of([row], ZoneInfo("Asia/Kolkata"))
    starts = {key.step: key.start for key in points}
    assert starts == {
        # 01:40 there, half an hour off the hours of UTC.
        PointStep.HOUR: time.replace(hour=19, minute=30, second=0),
        PointStep.DAY: time.replace(hour=18, minute=30, second=0),
    }


@given(
    st.lists(st.floats(12, 100_000), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.95]),
)
def test_a_percentile_is_a_bucket_away_at_most(
    values: list[float], share: float
) -> None:
    counts = dict.fromkeys(FIRST_TOKEN.columns, 0)
    for value in values:
        counts[FIRST_TOKEN.column_of(value)] += 1
    found = FIRST_TOKEN.percentile(list(counts.values()), share)
    true = sorted(values)[math.ceil(len(values) * share) - 1]
    assert found is not None
    assert true / 1.42 <= found <= true * 1.42


def test_nothing_counted_has_no_percentile() -> None:
    assert SPEED.percentile([0] * len(SPEED.columns), 0.5) is None


@pytest.mark.django_db
def test_hours_are_kept_for_two_weeks_and_days_as_long_as_sums() -> None:
    now = timezone.now()
    store([entry(now), entry(now - timedelta(days=20))])
    hours = UsagePoint.objects.filter(step=PointStep.HOUR)
    # One that came late has none that would be deleted at once.
    assert hours.count() == 4
    hours.filter(subject=PointSubject.KEY).update(start=now - timedelta(days=15))
    while usage_prune():
        pass
    assert hours.count() == 3
    assert UsagePoint.objects.filter(step=PointStep.DAY).count() == 8
