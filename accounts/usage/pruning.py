"""Deletes rows of usage that are older than the configuration keeps them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from accounts.models import PointStep, PointSubject, UsageDay, UsagePoint, UsageRecord
from accounts.usage.ingestion import day_of
from accounts.usage.points import HOURS_KEPT

if TYPE_CHECKING:
    from datetime import datetime

#: Rows of one transaction: others write meanwhile.
BATCH = 1000


def usage_prune() -> int:
    """Delete a batch of old rows; return how many there were, 0 at the end."""
    config = settings.CONFIG.usage
    now = timezone.now()
    records = UsageRecord.objects.before(now - timedelta(days=config.retention_days))
    # By the primary key, the oldest first: no other index is asked.
    oldest = list(records.order_by("pk").values_list("pk", flat=True)[:BATCH])
    first_day = day_of(now) - timedelta(days=config.rollup_retention_days)
    days = UsageDay.objects.filter(day__lt=first_day)
    old_days = list(days.order_by("day").values_list("pk", flat=True)[:BATCH])
    old_points = _points_before(PointStep.HOUR, now - HOURS_KEPT)
    old_points += _points_before(
        PointStep.DAY, now - timedelta(days=config.rollup_retention_days)
    )
    deleted = 0
    if oldest:
        deleted += UsageRecord.objects.filter(pk__in=oldest).delete()[0]
    if old_days:
        deleted += UsageDay.objects.filter(pk__in=old_days).delete()[0]
    if old_points:
        oldest_points = UsagePoint.objects.filter(pk__in=old_points[:BATCH])
        deleted += oldest_points.delete()[0]
    return deleted


def _points_before(step: PointStep, time: datetime) -> list[int]:
    # By subject, too: so each of them is a range of the index.
    points = UsagePoint.objects.order_by()
    return [
        pk
        for subject in PointSubject
        for pk in points.filter(step=step, subject=subject, start__lt=time).values_list(
            "pk", flat=True
        )[:BATCH]
    ]
