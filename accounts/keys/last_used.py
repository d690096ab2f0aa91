"""When a key was last used, written beside the request and seldom."""

from __future__ import annotations

import contextlib
import logging
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime, timedelta

from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils import timezone

from accounts.models import ApiKey

logger = logging.getLogger(__name__)

#: A key's time is written at most once in this.
INTERVAL = timedelta(minutes=1)

#: One thread: the writes are few, and SQLite takes one writer at a time.
_writer: Executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="last-used")
_pending: set[int] = set()


def last_used_note(key: ApiKey) -> None:
    """See to it that ``last_used_at`` is written; never fails, never waits."""
    now = timezone.now()
    if key.last_used_at is not None and now - key.last_used_at < INTERVAL:
        return
    if key.pk in _pending:
        return
    _pending.add(key.pk)
    # The row in hand may be in other hands too, and be believed for a while.
    key.last_used_at = now
    # While the interpreter ends, the executor takes nothing more.
    with contextlib.suppress(RuntimeError):
        _writer.submit(_write_in_background, key.pk, now)


def _write_in_background(pk: int, now: datetime) -> None:
    try:
        last_used_write(pk, now)
    finally:
        connection.close()


def last_used_write(pk: int, now: datetime) -> None:
    """Write the time, unless another process has just done so."""
    try:
        due = Q(last_used_at=None) | Q(last_used_at__lte=now - INTERVAL)
        ApiKey.objects.filter(due, pk=pk).update(last_used_at=now)
    except DatabaseError as error:
        logger.warning("The last use of key %s was not written: %s", pk, error)
    finally:
        _pending.discard(pk)
