"""Rows that the database makes are as those of requests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from accounts.models import UsageDay, UsageRecord
from accounts.usage.ingestion import store
from benchmarks.workloads.synthetic_usage import entries_like_newest, make_rows

pytestmark = pytest.mark.django_db

SUMS = {name: Sum(name) for name in ("prompt_tokens", "completion_tokens", "cost")}


def by_day(rows: QuerySet[Any], **of_requests: Any) -> list[dict[str, Any]]:
    return list(
        rows.order_by()
        .values("day", "key_id", "owner_id", "team_id", "model_id")
        .annotate(total=of_requests["total"], **SUMS)
        .order_by("day", "key_id", "model_id")
    )


def test_days_have_the_sums_of_rows_and_ids_their_times() -> None:
    make_rows(1000, days=5)
    assert UsageRecord.objects.count() == 1000
    rows = UsageRecord.objects.annotate(day=TruncDate("time"))
    days = UsageDay.objects.all()
    assert by_day(days, total=Sum("requests")) == by_day(rows, total=Count("pk"))
    assert (
        UsageRecord.objects.filter(failed=True, status=429).count()
        == days.aggregate(failed=Sum("failed"))["failed"]
    )
    middle = timezone.now() - timedelta(days=2)
    since = UsageRecord.objects.since(middle)
    assert 390 < since.count() < 410
    assert min(row.time for row in since) >= middle - timedelta(milliseconds=1)


def test_entries_like_the_newest_are_stored() -> None:
    make_rows(50, days=5)
    store(entries_like_newest(20))
    assert UsageRecord.objects.count() == 70
