"""The queue of each model's requests, shared by all of its workers.

It is a sorted set of a Redis channel layer, whose workers take the lowest score first.
The layer's own score is the time of sending; here requests of a key that sends many are
later than they came, so that who sends one does not wait for all of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from channels.exceptions import ChannelFull

if TYPE_CHECKING:
    from collections.abc import Callable

#: How far apart the requests of a key of weight 1 are: about as long as a worker needs
#: to take one.
SPACING_S = 0.01
#: No request is later by more than this.
MAX_LATER_S = 2.0
#: Drops what has expired, and adds a message at a score if the queue is not full.
_PUT = """
redis.call("ZREMRANGEBYSCORE", KEYS[1], 0, ARGV[1])
if redis.call("ZCARD", KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call("ZADD", KEYS[1], ARGV[3], ARGV[4])
redis.call("EXPIRE", KEYS[1], ARGV[5])
return 1
"""
#: How long a worker waits for a request before it waits again. A request ends the wait.
#: Until then Redis may give one to a worker that is cut off or frozen, where it is
#: lost. So this is less than the silence after which a worker counts as gone: what is
#: queued again then goes to another one.
PATIENCE_S = 2.0
#: The same where no other worker is on another machine.
PATIENCE_ALONE_S = 30.0
#: More keys than send at once.
_MAX_REMEMBERED = 1024


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


def own_queue(queue: str, incarnation: str) -> str:
    """Return the channel of the requests that one worker of a queue should take."""
    return f"{queue}.{incarnation}"


async def depth(layer: Any, queue: str) -> int:
    """Return how many requests are in a queue of a Redis channel layer.

    Raises OSError or redis.exceptions.RedisError.
    """
    return int(await layer.connection(0).zcard(layer.prefix + queue))


class QueueOrder:
    """When each key's next request counts as sent. For one web process.

    As in the virtual clock of [Zhang 1990], a key's next request is a step after its
    last one, or now if that is later.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._last: dict[tuple[str, str], float] = {}

    def next(self, channel: str, key: str, weight: float) -> float:
        """Return the time of a new request, in seconds since the epoch."""
        now = self._clock()
        step = SPACING_S / weight
        later = min(self._last.get((channel, key), 0.0) + step, now + MAX_LATER_S)
        if len(self._last) > _MAX_REMEMBERED:
            self._last = {each: at for each, at in self._last.items() if at > now}
        self._last[channel, key] = at = max(now, later)
        return at


async def take(
    layer: Any, channel: str, patience_s: float = PATIENCE_ALONE_S
) -> dict[str, Any]:
    """Wait for the first message and take it.

    Redis gives none to a consumer that has not been heard for ``patience_s``.

    ``RedisChannelLayer.receive`` asks Redis four times, to keep the message of a
    consumer that is cancelled. Here the web process queues again what is lost.

    Raises OSError or redis.exceptions.RedisError.
    """
    name = layer.prefix + channel
    while True:
        found = await layer.connection(0).bzpopmin(name, timeout=patience_s)
        if found is not None:
            message: dict[str, Any] = layer.deserialize(found[1])
            return message


async def hand_over(layer: Any, source: str, target: str) -> None:
    """Move all messages of a channel to another one, in one step.

    Raises OSError or redis.exceptions.RedisError.
    """
    old, new = layer.prefix + source, layer.prefix + target
    pipeline = layer.connection(0).pipeline(transaction=True)
    pipeline.zunionstore(new, [old, new], aggregate="MAX")
    pipeline.delete(old)
    pipeline.expire(new, int(layer.expiry))
    await pipeline.execute()


async def put(layer: Any, channel: str, message: dict[str, Any], at: float) -> None:
    """Queue a message as ``RedisChannelLayer.send`` does, but as if sent at a time.

    It asks Redis once: beside many other requests each answer of its own takes its
    turn in the event loop. Raises ChannelFull, OSError or redis.exceptions.RedisError.
    """
    expiry = int(layer.expiry)
    is_put = await layer.connection(0).eval(
        _PUT,
        1,
        layer.prefix + channel,
        int(time.time()) - expiry,
        layer.get_capacity(channel),
        repr(at),
        layer.serialize(message),
        expiry,
    )
    if not is_put:
        raise ChannelFull
