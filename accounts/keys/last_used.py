"""Writes when and from where a key was last used: in the background, each minute."""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING

from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import ApiKey, KeyAddress
from accounts.models.key_address import KEPT, MAX_ADDRESSES, OTHERS

if TYPE_CHECKING:
    #: A key's primary key, and the address of its client.
    Use = tuple[int, str]

logger = logging.getLogger(__name__)

#: Shortest time between two writes for one key and address.
INTERVAL = timedelta(minutes=1)

#: One thread: the writes are few, and SQLite takes one writer at a time.
_writer: Executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="last-used")


class _Noted:
    """When each key and address was last noted; the oldest of too many are dropped."""

    _MOST = 4096

    def __init__(self) -> None:
        self._lock = Lock()
        self._at: OrderedDict[Use, datetime] = OrderedDict()

    def is_due(self, use: Use, now: datetime) -> bool:
        """Return whether a use has to be written, and note it if so."""
        with self._lock:
            before = self._at.get(use)
            if before is not None and now - before < INTERVAL:
                return False
            self._at[use] = now
            self._at.move_to_end(use)
            if len(self._at) > self._MOST:
                self._at.popitem(last=False)
            return True

    def forget(self, use: Use) -> None:
        """Have a use written again: its write failed."""
        with self._lock:
            self._at.pop(use, None)


_noted = _Noted()


def note_last_use(key: ApiKey, address: str) -> None:
    """Schedule writing when and from where the key was used. Never fails or waits."""
    now = timezone.now()
    if not _noted.is_due((key.pk, address), now):
        return
    # The executor refuses work while the interpreter shuts down.
    with contextlib.suppress(RuntimeError):
        _writer.submit(_write_in_background, key.pk, address, now)


def _write_in_background(pk: int, address: str, now: datetime) -> None:
    try:
        write_last_use(pk, address, now)
    finally:
        connection.close()


def write_last_use(pk: int, address: str, now: datetime) -> None:
    """Write the time, unless another process did so within ``INTERVAL``."""
    try:
        due = Q(last_used_at=None) | Q(last_used_at__lte=now - INTERVAL)
        ApiKey.objects.filter(due, pk=pk).update(last_used_at=now)
        _write_address(pk, address, now)
    except DatabaseError as error:
        logger.warning("The last use of key %s was not written: %s", pk, error)
        _noted.forget((pk, address))


def _write_address(pk: int, address: str, now: datetime) -> None:
    day = now.astimezone(UTC).date()
    rows = KeyAddress.objects.filter(key=pk)
    of_day = rows.filter(day=day)
    if of_day.filter(address=address).update(last_at=now):
        return
    known = of_day.count()
    if known == 0:
        rows.filter(day__lt=day - KEPT).delete()
    if known >= MAX_ADDRESSES:
        address = OTHERS
        if of_day.filter(address=OTHERS).update(last_at=now):
            return
    # Another process may have written it, or the key may have been deleted.
    with contextlib.suppress(IntegrityError), transaction.atomic():
        KeyAddress.objects.create(key_id=pk, day=day, address=address, last_at=now)
