"""Bounds what one API key may have in a model's queue, mostly while it is loaded.

The bound is a dynamic threshold [Choudhury, Hahne 1998]: a key may queue as many
requests as there are free places left. So one key fills half of the queue, two fill two
thirds, and a newcomer always finds a place. Each web process counts its own requests
only: with p of them one key may fill p / (p + 1).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from inference.engine.request import GenerationRequest, TokenizationRequest
from inference.errors import QueueFull
from inference.transport.queue import depth
from inference.transport.stream import RETRY_AFTER_S

if TYPE_CHECKING:
    from inference.engine.media.inputs import MediaInput
    from inference.engine.request import ModelRequest
    from inference.transport.queue import ModelQueue
    from inference.transport.stream import Stream
    from inference.transport.streams import Streams


#: The most bytes of images and sounds that requests of a key in one web process may
#: have before they start: packed, as they cross Redis and wait in a worker.
MAX_MEDIA_BYTES = 256 * 2**20


class QueueShares:
    """The requests of one web process that are in queues, by model and key."""

    def __init__(self, layer: Any, streams: Streams) -> None:
        self._layer = layer
        self._streams = streams
        #: Nothing takes a request out of a queue but a worker, not even its client's
        #: end.
        self._abandoned: Counter[tuple[int, str]] = Counter()

    async def check(self, request: ModelRequest, queue: ModelQueue) -> None:
        """Raise QueueFull if the request's key has its share of the queue already."""
        self._check_bytes(request, queue)
        own = self._count(request, queue)
        if not own:
            return
        try:
            waiting = await depth(self._layer, queue.channel)
        except (OSError, RedisError):
            # To queue the request fails likewise, and says so.
            return
        if not waiting:
            self._forget_abandoned(queue)
        free = self._layer.get_capacity(queue.channel) - waiting
        if min(own, waiting) >= free:
            raise QueueFull(
                f"{min(own, waiting)} of the requests that wait for the model "
                f"'{queue.model_name}' are this API key's, and the places that are "
                "left are for other keys. Try again later.",
                retry_after=RETRY_AFTER_S,
            )

    def _check_bytes(self, request: ModelRequest, queue: ModelQueue) -> None:
        """Raise QueueFull if images and sounds of the key's requests take too much.

        Each of the answers to one request has its own copy of them on its way.
        """
        size = _media_bytes(request)
        if not size:
            return
        held = sum(
            _media_bytes(each.request)
            for each in self._streams
            if each.request.key == request.key and not each.is_started
        )
        if held and held + size > MAX_MEDIA_BYTES:
            raise QueueFull(
                "The images and sounds of this API key's requests that wait for "
                f"'{queue.model_name}' take as much as one key's may, "
                f"{MAX_MEDIA_BYTES // 2**20} MiB. Send these requests one after "
                "another, with fewer or smaller images, or for fewer answers.",
                retry_after=RETRY_AFTER_S,
            )

    def abandon(self, stream: Stream) -> None:
        """Note that a stream was closed; its request may still be in the queue."""
        if not stream.holder and not stream.is_detached:
            self._abandoned[stream.queue.model_id, stream.request.key] += 1

    def _count(self, request: ModelRequest, queue: ModelQueue) -> int:
        model_id, key = queue.model_id, request.key
        return self._abandoned[model_id, key] + sum(
            not each.holder
            and each.request.key == key
            and each.queue.model_id == model_id
            for each in self._streams
        )

    def _forget_abandoned(self, queue: ModelQueue) -> None:
        for place in [each for each in self._abandoned if each[0] == queue.model_id]:
            del self._abandoned[place]


def _media_bytes(request: ModelRequest) -> int:
    if not isinstance(request, GenerationRequest | TokenizationRequest):
        return 0
    media: list[MediaInput] = [*request.media, *request.sounds]
    return sum(len(each.packed) for each in media)
