"""Deletes entries of the audit log that are older than the configuration keeps them."""

from __future__ import annotations

from datetime import timedelta

from auditlog.models import LogEntry
from django.conf import settings
from django.utils import timezone

#: Entries of one transaction: others write meanwhile.
BATCH = 1000


def audit_prune() -> int:
    """Delete a batch of old entries; return how many there were, 0 at the end."""
    kept = timedelta(days=settings.CONFIG.audit.retention_days)
    old = LogEntry.objects.filter(timestamp__lt=timezone.now() - kept)
    batch = list(old.order_by("pk").values_list("pk", flat=True)[:BATCH])
    deleted: int = LogEntry.objects.filter(pk__in=batch).delete()[0]
    return deleted
