"""Deletes stored responses and conversations that have expired."""

from __future__ import annotations

from django.utils import timezone

from accounts.models import StoredConversation, StoredItem, StoredResponse

#: Rows of one transaction: others write meanwhile.
BATCH = 100


def stored_prune() -> int:
    """Delete a batch of what has expired; return how many rows that were."""
    now = timezone.now()
    deleted = 0
    for kind in (StoredResponse, StoredConversation):
        expired = kind.objects.filter(expires_at__lte=now).order_by("expires_at")
        oldest = list(expired.values_list("pk", flat=True)[:BATCH])
        if oldest:
            deleted += kind.objects.filter(pk__in=oldest).delete()[0]
    lost = StoredItem.objects.filter(response=None, conversation=None)
    alone = list(lost.values_list("pk", flat=True)[:BATCH])
    if alone:
        deleted += StoredItem.objects.filter(pk__in=alone).delete()[0]
    return deleted
