"""Runs the slow preparation of requests in threads, fair between API keys.

Some requests take milliseconds to prepare and others seconds: long texts, grammars, DRY
samplers. They all go through here, so that nobody waits for another key's.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from llm_manager.lib.processes.fair_turns import ASKING_S, Asking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_T = TypeVar("_T")

#: Threads that prepare at once. More would only take processor time from the engine;
#: a second one serves others while one key's request takes long.
_PLACES = 2
#: How long the images of a request may take to encode. A large one on a slow processor
#: takes most of a minute.
ENCODING_LIMIT_S = 300.0
#: How long one preparation may take. The limits of grammars and DRY breakers keep it to
#: about a second of processor time; this is what a busy machine may make of that.
LIMIT_S = 20.0
#: How many times as long as a preparation took its key rests while others ask.
_REST = 3.0
#: Lower than the engine's threads: a step has to be on time, a preparation has not.
_NICENESS = 10


class Preparation:
    """Jobs in the order of their arrival for one key, and in turn between keys.

    A key has one job at a time, so it never takes more than one of the places. While
    another key asks too, it has a quarter of a thread's time, and rests after each job:
    on few cores that thread takes time from steps, whatever its priority. After images
    it rests for as long as they took.
    ``on_error`` gets what a job raises; ``on_idle`` is called when none is left.
    """

    def __init__(
        self,
        *,
        on_error: Callable[[BaseException], None],
        on_idle: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._on_error = on_error
        self._on_idle = on_idle
        self._clock = clock
        self._rest = rest
        self._asking = Asking(clock)
        #: The seconds for which a key has still to rest.
        self._owed: dict[str, float] = {}
        # First come, first served: between keys that is in turn.
        self._places = asyncio.Semaphore(_PLACES)
        # A projector encodes one image at a time, and texts do not wait for it.
        self._encoder = asyncio.Semaphore(1)
        self._jobs: dict[str, deque[Callable[[], Awaitable[None]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether there are no jobs."""
        return not self._jobs

    def has(self, key: str) -> bool:
        """Whether a key has jobs."""
        return key in self._jobs

    def num_waiting(self, key: str) -> int:
        """Return how many jobs of a key are yet to begin."""
        return len(self._jobs.get(key, ()))

    def note(self, key: str) -> None:
        """Note that a key asks, whether or not its request takes long to prepare."""
        self._asking.note(key)

    def put(self, key: str, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job after the key's earlier ones."""
        jobs = self._jobs.get(key)
        if jobs is not None:
            jobs.append(job)
            return
        self._jobs[key] = deque([job])
        task = asyncio.create_task(self._run(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, key: str) -> None:
        jobs = self._jobs[key]
        try:
            while jobs:
                await jobs.popleft()()
                owed = self._owed.pop(key, 0.0)
                while owed > 0 and jobs and self._asking.others_ask(key):
                    # No longer than they ask: an image may owe minutes.
                    piece = min(owed, ASKING_S)
                    await self._rest(piece)
                    owed -= piece
        except Exception as error:
            self._on_error(error)
        finally:
            del self._jobs[key]
            self._owed.pop(key, None)
            self._on_idle()

    async def in_thread(
        self,
        function: Callable[[], _T],
        *,
        key: str,
        on_overdue: Callable[[], None],
        encodes: bool = False,
    ) -> _T:
        """Return the result of a function that runs in a thread. For a job to call.

        One that ``encodes`` images has a place of its own, and more time. A thread
        cannot be ended. One that takes longer than the limit gives its place to other
        keys, and ``on_overdue`` is called; its own key waits for it.
        """
        limit = ENCODING_LIMIT_S if encodes else LIMIT_S
        async with self._encoder if encodes else self._places:
            started = self._clock()
            running = asyncio.wrap_future(_in_daemon_thread(function))
            await asyncio.wait([running], timeout=limit)
            took = self._clock() - started
            self._owed[key] = took if encodes else _REST * took
        if not running.done():
            on_overdue()
        return await running

    def close(self) -> None:
        """Cancel what waits."""
        for task in self._tasks:
            task.cancel()


def _in_daemon_thread(function: Callable[[], _T]) -> Future[_T]:
    """Start a function in a thread for which the process's end does not wait."""
    future: Future[_T] = Future()
    # Nobody can cancel it from here on: who waits may go, the thread sets its result.
    future.set_running_or_notify_cancel()

    def run() -> None:
        if sys.platform == "linux":
            # There, and only there, a thread has a priority of its own.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            result = function()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="prepare", daemon=True).start()
    return future
