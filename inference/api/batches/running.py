"""Works on the batches of all clients, in every web process.

A process claims a batch for some seconds and renews that while it works on it. The
batch of a process that has died is claimed by another one, or by the next: that goes on
with the lines that have no result. An answer that was being written goes on from the
engine's events, which are kept as for an ``Idempotency-Key``.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from django.db import DatabaseError

from accounts.files.pruning import files_prune
from accounts.models import Batch
from inference.api.batches import rows
from inference.api.batches.results import ResultsTaken
from inference.api.batches.run import BatchRun
from llm_manager.lib.clocks.growing_pause import GrowingPause
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

#: How often this process looks for batches that nobody works on.
_LOOK_EVERY_S = 2.0
#: The same while it works on none.
_LOOK_AT_LEAST_EVERY_S = 10.0
_BEAT_S = 1.0
#: Batches that this process works on at once; others wait.
_AT_ONCE = 4
_PRUNE_EVERY_S = 60.0


class BatchRunner:
    """The batches that this process works on."""

    def __init__(self, make_run: Callable[[Batch], BatchRun] = BatchRun) -> None:
        self._make_run = make_run
        self._name = uuid.uuid4().hex
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_new = asyncio.Event()
        self._pruned_at = time.monotonic()

    def look_soon(self) -> None:
        """Look for batches at once: one was made."""
        self._is_new.set()

    async def run_forever(self) -> None:
        """Work on batches until cancelled."""
        pause = GrowingPause(_LOOK_EVERY_S, _LOOK_AT_LEAST_EVERY_S)
        try:
            while True:
                # Before the look: it may miss one that is made meanwhile.
                self._is_new.clear()
                await self._look()
                pause.after(found=bool(self._tasks))
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause.seconds):
                        await self._is_new.wait()
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        try:
            room = _AT_ONCE - len(self._tasks)
            if room > 0:
                for id_ in await in_thread(rows.unclaimed, _AT_ONCE):
                    self._start(id_)
            if time.monotonic() > self._pruned_at + _PRUNE_EVERY_S:
                self._pruned_at = time.monotonic()
                await in_thread(files_prune)
        except DatabaseError as error:
            logger.warning("No batch can be looked for now: %s", error)
        except Exception:
            # It must not end: the next attempt may succeed.
            logger.exception("Batches could not be looked for")

    def _start(self, id_: str) -> None:
        if id_ in self._tasks or len(self._tasks) >= _AT_ONCE:
            return
        task = asyncio.create_task(self._work(id_))
        self._tasks[id_] = task

        def ended(_: object) -> None:
            self._tasks.pop(id_, None)
            # The next one need not wait.
            self._is_new.set()

        task.add_done_callback(ended)

    async def _work(self, id_: str) -> None:
        try:
            row = await in_thread(rows.claim, id_, self._name)
            if row is not None:
                await self._run(row)
        except ResultsTaken:
            logger.info("The batch %s is still written by another process", id_)
            await asyncio.sleep(_LOOK_EVERY_S)
        except asyncio.CancelledError:
            logger.info("The batch %s is not worked on here any more", id_)
            raise
        except DatabaseError as error:
            logger.warning("The batch %s cannot be worked on now: %s", id_, error)
            await asyncio.sleep(_LOOK_EVERY_S)
        except Exception:
            logger.exception("The work on the batch %s broke off", id_)
            # Or it would be tried again and again without a pause.
            await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            await self._release(id_)

    async def _run(self, row: Batch) -> None:
        run = self._make_run(row)
        working = asyncio.current_task()
        assert working is not None  # noqa: S101 - this is one
        beating = asyncio.create_task(self._beat(row, run, working))
        try:
            await run.run()
        finally:
            beating.cancel()

    async def _release(self, id_: str) -> None:
        try:
            await in_thread(rows.release, id_, self._name)
        except DatabaseError as error:
            # It lapses by itself.
            logger.warning("The claim of %s cannot be given up now: %s", id_, error)

    async def _beat(
        self, row: Batch, run: BatchRun, working: asyncio.Task[None]
    ) -> None:
        """Renew the claim, note the progress, and hear of a cancellation."""
        id_ = row.pk
        while True:
            await asyncio.sleep(_BEAT_S)
            try:
                status = await in_thread(rows.renew, id_, self._name, run.counts())
            except DatabaseError as error:
                logger.warning("The claim of %s cannot be renewed now: %s", id_, error)
                continue
            if not status:
                if row.is_open:
                    working.cancel()
                return
            if status == Batch.Status.CANCELLING:
                run.stop()


_runners: list[BatchRunner] = []


def batch_runner() -> BatchRunner:
    """Return this process's runner."""
    if not _runners:
        _runners.append(BatchRunner())
    return _runners[0]
