"""Old rows are deleted in batches, and no others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import UsageDay, UsageRecord
from accounts.record_id import new_id
from accounts.usage import pruning
from accounts.usage.pruning import usage_prune
from accounts.usage.summary import today

pytestmark = pytest.mark.django_db


def test_rows_and_days_are_kept_as_long_as_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    now = timezone.now()
    for days in (0, 89, 91, 92, 93):
        time = now - timedelta(days=days)
        UsageRecord.objects.create(
            id=new_id(time.timestamp()), time=time, request_id=str(days), status=200
        )
    for days in (0, 1824, 1826):
        UsageDay.objects.create(day=today() - timedelta(days=days))
    assert usage_prune() == 3
    assert usage_prune() == 1
    assert usage_prune() == 0
    kept = UsageRecord.objects.values_list("request_id", flat=True)
    assert set(kept) == {"0", "89"}
    assert UsageDay.objects.count() == 2
