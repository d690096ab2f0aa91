"""The connection to Redis that limits share with the cache."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.core.cache import BaseCache, caches


@cache
def shared_cache(alias: str) -> BaseCache:
    """Return this process's cache.

    Django's cache handler makes a new cache, and with it a connection to Redis, for
    every request. Redis's client can be shared by threads.
    """
    return caches.create_connection(alias)


def redis_client() -> Any:
    """Return the cache's client of Redis, which is synchronous."""
    counters: Any = shared_cache(settings.RATELIMIT_USE_CACHE)
    return counters._cache.get_client(write=True)
