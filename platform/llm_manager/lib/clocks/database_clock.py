"""The time by the database's clock, which all machines share."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django.db import connection
from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import Callable

#: A process whose heartbeat is older counts as gone, by the database's clock.
HEARTBEAT_EXPIRES = timedelta(seconds=10)
#: Two clocks drift apart by less than 10 ms in this time.
_MEASURE_EVERY_S = 60.0


class DatabaseClock:
    """The clock of the database server, read once a minute.

    Heartbeats of one machine are compared on another one. ``read`` returns the
    database's time.
    """

    def __init__(
        self,
        read: Callable[[], datetime],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._measured_at: float | None = None
        self._offset = timedelta(0)

    def __call__(self) -> datetime:
        """Return the time now. Raises DatabaseError, once a minute at most."""
        now = self._clock()
        if self._measured_at is None or now - self._measured_at > _MEASURE_EVERY_S:
            before = timezone.now()
            read = self._read()
            self._offset = read - (before + (timezone.now() - before) / 2)
            self._measured_at = now
        return timezone.now() + self._offset

    @property
    def offset(self) -> timedelta:
        """How far the database's clock is ahead of this machine's, as last read."""
        return self._offset


def _read_database() -> datetime:
    if connection.vendor != "postgresql":
        # SQLite runs in this process.
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        (seconds,) = cursor.fetchone()
    return datetime.fromtimestamp(float(seconds), UTC)


database_now = DatabaseClock(_read_database)
