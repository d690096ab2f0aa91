"""The queue of a model's requests, as far as channel layers do not tell of it."""

from __future__ import annotations

from typing import Any


async def depth(layer: Any, queue: str) -> int:
    """Return how many requests are in a queue of a Redis channel layer.

    Raises OSError or redis.exceptions.RedisError.
    """
    return int(await layer.connection(0).zcard(layer.prefix + queue))
