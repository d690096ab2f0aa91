"""Makes sure that requested models have workers, with few database queries."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from django.db import DatabaseError
from redis.exceptions import RedisError

from inference import services
from inference.errors import EngineUnavailable
from inference.transport.stream import RETRY_AFTER_S

if TYPE_CHECKING:
    from inference.transport.queue import ModelQueue
    from inference.transport.worker_heartbeats import WorkerHeartbeats

logger = logging.getLogger(__name__)

#: How long a served model counts as served without another query.
_TRUST_S = 1.0
#: A worker says every second that it serves: this is long enough to hear it.
_HEAR_WITHIN_S = 1.5
#: A database that stands still refuses nothing: who is served is let in after so long.
_ANSWERS_WITHIN_S = 1.0


class WorkerLookup:
    """Makes sure that the models of requests have workers."""

    def __init__(self, heartbeats: WorkerHeartbeats) -> None:
        self._heartbeats = heartbeats
        self._served_until: dict[int, float] = {}
        #: Those that run, and since when.
        self._lookups: dict[int, tuple[asyncio.Task[bool], float]] = {}

    async def ensure(self, queue: ModelQueue, key: str) -> None:
        """Return when a worker of the model is serving or starting, for a key.

        Raises EngineUnavailable, ModelLoadFailed. If the worker dies meanwhile, the
        next check of the streams notices. While the database does not answer, the
        workers' own word counts.
        """
        model_id = queue.model_id
        if time.monotonic() < self._served_until.get(model_id, 0.0):
            return
        if model_id not in self._lookups:
            made = asyncio.create_task(self._look(queue, key))
            self._lookups[model_id] = (made, time.monotonic())
            made.add_done_callback(partial(self._end, model_id))
        lookup, since = self._lookups[model_id]
        # Many may wait for the result, so a single cancelled caller must not cancel it.
        patience_s = since + _ANSWERS_WITHIN_S - time.monotonic()
        done, _ = await asyncio.wait([lookup], timeout=max(patience_s, 0.0))
        if done or not self._heartbeats.serving(queue.channel):
            await asyncio.shield(lookup)

    def forget(self, model_id: int) -> None:
        """Query again next time: a worker of the model is gone."""
        self._served_until.pop(model_id, None)

    async def _look(self, queue: ModelQueue, key: str) -> bool:
        """Return whether a worker serves. Raises as ``ensure`` does.

        The workers' own word counts where the rows cannot be read, or say that no
        engine process is there.
        """
        with suppress(OSError, RedisError):
            await self._heartbeats.follow(queue.channel)
        try:
            return await self._ensure(queue, key)
        except EngineUnavailable:
            await self._heartbeats.wait(queue.channel, timeout_s=_HEAR_WITHIN_S)
            return await self._ensure(queue, key)
        except DatabaseError as error:
            logger.warning("The workers' rows cannot be read: %s", error)
            if await self._heartbeats.wait(queue.channel, timeout_s=_HEAR_WITHIN_S):
                return True
            raise EngineUnavailable(
                f"The database cannot be read, and no worker of '{queue.model_name}' "
                "says that it serves.",
                retry_after=RETRY_AFTER_S,
            ) from error

    async def _ensure(self, queue: ModelQueue, key: str) -> bool:
        heard = self._heartbeats.serving(queue.channel)
        by = f"a request of {key}" if key else "a request"
        return await services.ensure_worker(queue.model_id, heard, by=by)

    def _end(self, model_id: int, lookup: asyncio.Task[bool]) -> None:
        del self._lookups[model_id]
        if not lookup.cancelled() and lookup.exception() is None and lookup.result():
            self._served_until[model_id] = time.monotonic() + _TRUST_S
