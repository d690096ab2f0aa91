"""Writes notices, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone

from accounts.models import Notice

if TYPE_CHECKING:
    from accounts.models import NoticeKind


def notice_create(
    *, slot: str, kind: NoticeKind, text: str, details: dict[str, Any]
) -> bool:
    """Write a notice, unless its slot has one; return whether it was new.

    If there is a webhook, the notice is due to be sent. Raises DatabaseError.
    """
    due = timezone.now() if settings.CONFIG.notices.webhook_url else None
    _, is_new = Notice.objects.get_or_create(
        slot=slot,
        defaults={
            "kind": kind,
            "text": text,
            "details": details,
            "next_attempt_at": due,
        },
    )
    return is_new
