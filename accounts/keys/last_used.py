"""Writes when a key was last used: in the background, at most once a minute."""

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

#: Shortest time between two writes for one key.
INTERVAL = timedelta(minutes=1)

#: One thread: the writes are few, and SQLite takes one writer at a time.
_writer: Executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="last-used")
_pending: set[int] = set()


def note_last_use(key: ApiKey) -> None:
    """Schedule writing ``last_used_at``. Never fails, never waits."""
    now = timezone.now()
    if key.last_used_at is not None and now - key.last_used_at < INTERVAL:
        return
    if key.pk in _pending:
        return
    _pending.add(key.pk)
    # Other requests may share this cached row.
    key.last_used_at = now
    # The executor refuses work while the interpreter shuts down.
    with contextlib.suppress(RuntimeError):
        _writer.submit(_write_in_background, key.pk, now)


def _write_in_background(pk: int, now: datetime) -> None:
    try:
        write_last_use(pk, now)
    finally:
        connection.close()


def write_last_use(pk: int, now: datetime) -> None:
    """Write the time, unless another process did so within ``INTERVAL``."""
    try:
        due = Q(last_used_at=None) | Q(last_used_at__lte=now - INTERVAL)
        ApiKey.objects.filter(due, pk=pk).update(last_used_at=now)
    except DatabaseError as error:
        logger.warning("The last use of key %s was not written: %s", pk, error)
    finally:
        _pending.discard(pk)
