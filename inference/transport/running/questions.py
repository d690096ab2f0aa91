"""Questions to all web processes or workers, and the way back for their answers.

Redis says how many hear a question, so that who asks knows how many answers come.
"""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

from channels.layers import channel_layers
from redis.exceptions import RedisError

from inference.transport.codec import from_wire, to_wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from redis.asyncio import Redis

    from inference.transport.codec import WireMessage

logger = logging.getLogger(__name__)

#: The groups of the channel layer that questions go to.
WEB_PROCESSES = "running.web"
WORKERS = "running.workers"
#: A process whose loop stands still for longer is left out of an answer.
ANSWER_WITHIN_S = 1.0
_KEPT_S = 10


async def ask(
    question: Callable[[str], WireMessage], *groups: str
) -> AsyncIterator[Any]:
    """Yield the answers as they come, and None for each one that does not.

    ``question`` makes the message, given where the answers go. Raises OSError or
    redis.exceptions.RedisError.
    """
    layer: Any = channel_layers["default"]
    redis = channel_layers["queue"].connection(0)
    place = f"{layer.prefix}answers.{uuid.uuid4().hex}"
    message = layer.serialize(to_wire(question(place)))
    left = 0
    for group in groups:
        left += await redis.publish(f"{layer.prefix}__group__{group}", message)
    until = time.monotonic() + ANSWER_WITHIN_S
    while left:
        # 0 would wait forever.
        patience = max(until - time.monotonic(), 0.01)
        found = await redis.blpop([place], timeout=patience)
        yield None if found is None else from_wire(layer.deserialize(found[1]))
        left -= 1


async def answer(redis: Redis, layer: Any, place: str, message: WireMessage) -> None:
    """Send an answer; ``layer`` is that of the question.

    When Redis is away, who asked has no answer from anybody.
    """
    try:
        # The types of redis-py are those of its two clients together.
        pushed: Any = redis.rpush(place, layer.serialize(to_wire(message)))
        await pushed
        await redis.expire(place, _KEPT_S)
    except (OSError, RedisError) as error:
        logger.warning("An answer about running requests is lost: %s", error)
