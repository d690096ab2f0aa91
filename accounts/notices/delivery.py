"""Sends the notices that are due, and tries again what failed."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from accounts.models import Notice
from accounts.notices.webhook import WebhookFailed, webhook_post

if TYPE_CHECKING:
    from datetime import datetime

logger = logging.getLogger(__name__)

#: The time from each failure to the next attempt: more than a day in all.
_PAUSES = (
    *(timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=5)),
    *(timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6)),
    *(timedelta(hours=8), timedelta(hours=8)),
)
#: Longer than an attempt takes: after it, another machine may try.
_CLAIM = timedelta(minutes=2)
#: Notices older than this are deleted.
_KEPT = timedelta(days=90)
_BATCH = 20


def notices_send() -> int:
    """Send what is due now; return how many were sent.

    Several machines may do this at once: each notice is one's, as long as its attempt
    takes.
    """
    url = settings.CONFIG.notices.webhook_url
    if url is None:
        return 0
    due = Notice.objects.filter(next_attempt_at__lte=timezone.now())
    first = due.order_by("next_attempt_at")[:_BATCH]
    return sum(_send(notice, url) for notice in first)


def notices_prune() -> int:
    """Delete old notices; return how many."""
    old = Notice.objects.filter(created_at__lt=timezone.now() - _KEPT)
    return old.delete()[0]


def _send(notice: Notice, url: str) -> bool:
    now = timezone.now()
    mine = Notice.objects.filter(
        pk=notice.pk, next_attempt_at=notice.next_attempt_at
    ).update(next_attempt_at=now + _CLAIM)
    if not mine:
        return False
    try:
        webhook_post(
            url,
            settings.CONFIG.notices.webhook_secret,
            message_id=f"notice_{notice.pk}",
            timestamp=int(now.timestamp()),
            payload=_payload(notice),
        )
    except WebhookFailed as failure:
        _note_failure(notice, str(failure), now)
        return False
    Notice.objects.filter(pk=notice.pk).update(
        sent_at=now, next_attempt_at=None, attempts=notice.attempts + 1, error=""
    )
    return True


def _note_failure(notice: Notice, error: str, now: datetime) -> None:
    is_last = notice.attempts >= len(_PAUSES)
    again = None if is_last else now + _PAUSES[notice.attempts]
    Notice.objects.filter(pk=notice.pk).update(
        next_attempt_at=again, attempts=notice.attempts + 1, error=error
    )
    logger.warning(
        "A notice was not sent to the webhook%s: %s",
        ", and is given up" if is_last else "",
        error,
    )


def _payload(notice: Notice) -> dict[str, object]:
    return {
        "type": f"notice.{notice.kind}",
        "timestamp": notice.created_at.isoformat(),
        "data": {"text": notice.text, **notice.details},
    }
