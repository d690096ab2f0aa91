"""The workers' newest measurements, where every web process finds them: in Redis.

They do not go into the workers' rows: a few kilobytes each second for every
worker are nothing for Redis, but a table's row would be written anew, and be
carried along by every query for a worker. Nothing is lost with them either. They
are cumulated, so what comes a second later says it all.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from django.core.cache import BaseCache, caches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.engine.telemetry import Snapshot

#: Clears up after workers that are gone. Whether one is there its row says.
_EXPIRES_S = 60


def save(incarnation: str, snapshot: Snapshot) -> None:
    """Keep what a worker has measured since it was started.

    Raises OSError or redis.exceptions.RedisError.
    """
    _cache().set(_key(incarnation), snapshot, _EXPIRES_S)


def load(incarnations: Iterable[str]) -> dict[str, Snapshot]:
    """Return the newest measurements of those workers of which there are any.

    Raises OSError or redis.exceptions.RedisError.
    """
    by_key = {_key(incarnation): incarnation for incarnation in incarnations}
    found = _cache().get_many(list(by_key))
    return {by_key[key]: snapshot for key, snapshot in found.items()}


@cache
def _cache() -> BaseCache:
    # One for the process: Django would connect to Redis anew in every context.
    return caches.create_connection("default")


def _key(incarnation: str) -> str:
    return f"telemetry:{incarnation}"
