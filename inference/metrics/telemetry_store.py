"""The workers' newest measurements, kept in Redis for every web process.

They are not in the workers' rows: a few kilobytes each second for every worker are
nothing to Redis, but the database would write the row again each time and every query
for a worker would carry them. None is lost for long: they are totals since the load, so
the next second's say it all.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from django.core.cache import BaseCache, caches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.engine.telemetry import Snapshot

#: Removes what workers that are gone have left: three times the longest time from write
#: to write, at rest. Which are there, their rows say.
_EXPIRES_S = 180


def save(incarnation: str, snapshot: Snapshot) -> None:
    """Keep what a worker has measured since its start.

    Raises OSError or redis.exceptions.RedisError.
    """
    _cache().set(_key(incarnation), snapshot, _EXPIRES_S)


def load(incarnations: Iterable[str]) -> dict[str, Snapshot]:
    """Return the newest measurements of these workers, if they have reported any.

    Raises OSError or redis.exceptions.RedisError.
    """
    by_key = {_key(incarnation): incarnation for incarnation in incarnations}
    found = _cache().get_many(list(by_key))
    return {by_key[key]: snapshot for key, snapshot in found.items()}


@cache
def _cache() -> BaseCache:
    # One for the process: Django would make a new connection in every context.
    return caches.create_connection("default")


def _key(incarnation: str) -> str:
    return f"telemetry:{incarnation}"
