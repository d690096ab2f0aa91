"""``Idempotency-Key``: a repeated request goes on from where its answer was."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from typing import TYPE_CHECKING, Any

from channels.layers import channel_layers
from redis.exceptions import RedisError

from inference.api.errors import BadRequest, IdempotencyConflict, IdempotencyKeyInUse
from inference.api.model_access import caller_of
from inference.errors import EngineUnavailable
from inference.transport.answer_log import (
    AnswerInProgress,
    AnswerLog,
    AnswerOfOther,
    AnswerTooLong,
)
from inference.transport.stream import RETRY_AFTER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rest_framework.request import Request

    from inference.api.body.request_body import Body
    from inference.api.streaming.generation import Client, EventStream
    from inference.engine.request import ModelRequest
    from inference.transport.messages.events import Event
    from inference.transport.queue import ModelQueue

logger = logging.getLogger(__name__)

_HEADER = "Idempotency-Key"
_FORM = re.compile(r"[\x21-\x7e]{1,255}")
_SAVE_EVERY_S = 1.0


class LoggingClient:
    """A client of the workers that keeps the events of its streams.

    Its first streams begin with what the log has of them. ``before_save`` is called
    each time before events are kept where others can find them.
    """

    def __init__(
        self, client: Client, log: AnswerLog, before_save: Callable[[], None]
    ) -> None:
        self._client = client
        self._log = log
        self._before_save = before_save
        self._count = 0
        self._open: set[int] = set()
        self._turn = asyncio.Lock()
        self._saving = asyncio.create_task(self._save())

    async def submit(
        self, request: ModelRequest, queue: ModelQueue, so_far: Sequence[Event] = ()
    ) -> EventStream:
        """Queue a request, unless the log has the end of its answer."""
        number = self._count
        self._count += 1
        self._open.add(number)
        known = self._log.so_far[number] if number < len(self._log.so_far) else []
        try:
            stream = await self._client.submit(request, queue, known or so_far)
        except BaseException:
            await self.closed(number)
            raise
        return _LoggedStream(stream, self, number, len(known))

    def put(self, number: int, events: Sequence[Event]) -> None:
        """Keep new events of a stream."""
        self._log.put(number, events)

    async def save(self) -> None:
        """Keep the new events where others can find them; a failure is logged."""
        self._before_save()
        try:
            # Batches must not overtake one another.
            async with self._turn:
                await self._log.save()
        except (OSError, RedisError) as error:
            _warn(error)

    async def closed(self, number: int) -> None:
        """Note that a stream is closed; after the last one, close the log."""
        self._open.discard(number)
        if self._open or self._saving.done():
            return
        self._saving.cancel()
        await self.save()
        try:
            await self._log.close()
        except (OSError, RedisError) as error:
            _warn(error)

    async def _save(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_EVERY_S)
            await self.save()


class _LoggedStream:
    """A stream whose events are kept, but those that come from the log."""

    def __init__(
        self, stream: EventStream, client: LoggingClient, number: int, known: int
    ) -> None:
        self._stream = stream
        self._client = client
        self._number = number
        self._known = known

    async def events(self, timeout_s: float | None = None) -> list[Event]:
        """Wait for an event; return all that are available."""
        events = await self._stream.events(timeout_s)
        new = events[self._known :]
        self._known = max(self._known - len(events), 0)
        if new:
            self._client.put(self._number, new)
        return events

    async def aclose(self) -> None:
        """Give up the sequence if it is not done."""
        await self._stream.aclose()
        await self._client.closed(self._number)


async def logging_client(
    client: Client,
    request: Request,
    body: Body,
    *,
    sequences: int,
    before_save: Callable[[], None],
    kept_s: int,
    part: int = 0,
) -> tuple[Client, Sequence[Sequence[Event]]]:
    """Return the client for a request: one that keeps the answer if it has a key.

    Returns the events, too, that are known of each sequence of the answer. ``part``
    counts the answers of one request that follow one another, each with its own.

    Raises BadRequest, IdempotencyConflict, EngineUnavailable.
    """
    key = request.headers.get(_HEADER)
    if key is None:
        return client, ()
    if not _FORM.fullmatch(key):
        raise BadRequest(
            f"{_HEADER} must be 1 to 255 visible ASCII characters.", param=_HEADER
        )
    parts = (str(part),) if part else ()
    name = _digest(caller_of(request).key, request.path, key, *parts)
    digest = _digest(body.model_dump_json())
    layer: Any = channel_layers["queue"]
    try:
        log = await AnswerLog.open(
            layer, name, digest=digest, sequences=sequences, kept_s=kept_s
        )
    except AnswerInProgress:
        raise IdempotencyKeyInUse(
            f"A request with this {_HEADER} is being answered now. Wait until its "
            "connection has ended, or use another key.",
            code="idempotency_key_in_use",
        ) from None
    except AnswerOfOther:
        raise IdempotencyConflict(
            f"This {_HEADER} belongs to a request with another body. Use another key.",
            code="idempotency_key_reused",
        ) from None
    except AnswerTooLong:
        raise IdempotencyConflict(
            f"The answer to this {_HEADER} is too long to go on with it. Use another "
            "key to send it again from the start.",
            code="idempotency_answer_too_long",
        ) from None
    except (OSError, RedisError) as error:
        raise EngineUnavailable(
            "Redis cannot be reached, so no request can be queued.",
            retry_after=RETRY_AFTER_S,
        ) from error
    return LoggingClient(client, log, before_save), log.so_far


def _warn(error: Exception) -> None:
    logger.warning("An answer cannot be kept now: %s", error)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
