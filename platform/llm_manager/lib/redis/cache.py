"""Django's cache in Redis, counted by django-prometheus' metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.cache.backends.redis import RedisCache
from django_prometheus.cache.metrics import (
    django_cache_get_fail_total,
    django_cache_get_total,
    django_cache_hits_total,
    django_cache_misses_total,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What django-prometheus calls Django's own backend for Redis.
_BACKEND = "native_redis"


class CountedRedisCache(RedisCache):
    """Counts the keys that are looked up, found, missed, and lost to a failure.

    django-prometheus has a backend for this, but its module imports django-redis, which
    is another backend, and it does not count ``get_many``.
    """

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """Return a key's value. Raises OSError or RedisError."""
        return self.get_many([key], version).get(key, default)

    def get_many(
        self, keys: Iterable[Any], version: int | None = None
    ) -> dict[Any, Any]:
        """Return the values that are there, by key. Raises OSError or RedisError."""
        wanted = list(keys)
        django_cache_get_total.labels(_BACKEND).inc(len(wanted))
        try:
            found: dict[Any, Any] = super().get_many(wanted, version)
        except Exception:
            django_cache_get_fail_total.labels(_BACKEND).inc(len(wanted))
            raise
        django_cache_hits_total.labels(_BACKEND).inc(len(found))
        django_cache_misses_total.labels(_BACKEND).inc(len(wanted) - len(found))
        return found
