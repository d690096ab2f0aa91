"""Deletes rows of usage that are older than the configuration keeps them."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from accounts.models import UsageDay, UsageRecord
from accounts.usage.ingestion import day_of

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
    deleted = 0
    if oldest:
        deleted += UsageRecord.objects.filter(pk__in=oldest).delete()[0]
    if old_days:
        deleted += UsageDay.objects.filter(pk__in=old_days).delete()[0]
    return deleted
