"""Makes sure that requested models have workers, with few database queries."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from inference import services

#: How long a served model counts as served without another query.
_TRUST_S = 1.0


class WorkerLookup:
    """Makes sure that the models of requests have workers."""

    def __init__(self) -> None:
        self._served_until: dict[int, float] = {}
        self._lookups: dict[int, asyncio.Task[bool]] = {}

    async def ensure(self, model_id: int) -> None:
        """Return when a worker of the model is serving or starting.

        Raises EngineUnavailable, ModelLoadFailed. If the worker dies meanwhile, the
        next check of the streams notices.
        """
        if time.monotonic() < self._served_until.get(model_id, 0.0):
            return
        lookup = self._lookups.get(model_id)
        if lookup is None:
            lookup = asyncio.create_task(services.ensure_worker(model_id))
            self._lookups[model_id] = lookup
            lookup.add_done_callback(partial(self._end, model_id))
        # Many may wait for the result, so a single cancelled caller must not cancel it.
        await asyncio.shield(lookup)

    def forget(self, model_id: int) -> None:
        """Query again next time: a worker of the model is gone."""
        self._served_until.pop(model_id, None)

    def _end(self, model_id: int, lookup: asyncio.Task[bool]) -> None:
        del self._lookups[model_id]
        if not lookup.cancelled() and lookup.exception() is None and lookup.result():
            self._served_until[model_id] = time.monotonic() + _TRUST_S
