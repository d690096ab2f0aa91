"""Reports how many requests wait in a model's queue."""

from __future__ import annotations

from channels.layers import channel_layers

from inference.transport.queue import depth, queue_name


async def queue_depth(model_id: int) -> int:
    """Return how many requests wait in a model's queue.

    Raises OSError or redis.exceptions.RedisError.
    """
    return await depth(channel_layers["queue"], queue_name(model_id))
