"""The queue of each model's requests, shared by all of its workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelQueue:
    """Where a request waits until a worker of the model takes it.

    ``model_id`` is the model's primary key, ``model_name`` is for messages;
    ``timeout_s`` limits how long a request waits for its start, here and in a worker.
    """

    model_id: int
    model_name: str
    timeout_s: float

    @property
    def channel(self) -> str:
        """The channel of the queue layer."""
        return queue_name(self.model_id)


def queue_name(model_id: int) -> str:
    """Return the channel of the requests for a model (its primary key).

    The model's workers are a group of the same name.
    """
    return f"queue.{model_id}"


async def depth(layer: Any, queue: str) -> int:
    """Return how many requests are in a queue of a Redis channel layer.

    Raises OSError or redis.exceptions.RedisError.
    """
    return int(await layer.connection(0).zcard(layer.prefix + queue))
