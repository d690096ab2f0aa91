"""Clients of the configured Redis for threads."""

from __future__ import annotations

from typing import Any

from redis import Redis

from llm_manager.lib.redis.sentinel import MasterPool, is_sentinel


def make_client(url: str, **options: Any) -> Redis:
    """Return a client for a URL of a Redis, or of Sentinels. Raises ValueError."""
    if is_sentinel(url):
        return Redis(connection_pool=MasterPool.from_url(url, **options))
    return Redis.from_url(url, **options)
