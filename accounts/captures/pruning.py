"""Deletes captured bodies that have expired."""

from __future__ import annotations

from django.utils import timezone

from accounts.models import CapturedBody

#: Rows of one transaction: others write meanwhile.
BATCH = 100


def captures_prune() -> int:
    """Delete a batch of expired bodies; return how many there were."""
    expired = CapturedBody.objects.filter(expires_at__lte=timezone.now())
    oldest = list(expired.order_by("expires_at").values_list("pk", flat=True)[:BATCH])
    if not oldest:
        return 0
    return CapturedBody.objects.filter(pk__in=oldest).delete()[0]
