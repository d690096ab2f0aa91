"""Threads for the jobs of many clients, none of whom keeps the others waiting."""

from __future__ import annotations

import time
from concurrent.futures import Future
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from llm_manager.lib.processes.fair_turns import ASKING_S, Asking, FairTurns

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

#: A job that has computed for longer makes its client rest, this many times as long.
_SLOW_S = 0.008
_REST = 3.0


class _Job(Generic[_T]):
    def __init__(self, client: str, call: Callable[[], _T]) -> None:
        self.client = client
        #: The call, until it runs or nobody waits for it: it may hold a large body,
        #: and would stay until its client's turn comes.
        calls = [call]
        self._calls = calls
        self.future: Future[_T] = Future()
        self.future.add_done_callback(lambda _: calls.clear())

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        call = self._calls.pop()
        try:
            result = call()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class FairThreads:
    """A few threads, each started when the others are busy; clients take turns.

    ``most`` jobs of one client run at once. With ``rests`` a client whose jobs compute
    for long has a quarter of a thread's time while others ask: they take turns at the
    interpreter, and at the processors.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        most: int = 1,
        rests: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._rests = rests
        self._clock = clock
        self._asking = Asking(clock)
        #: Until when clients rest.
        self._resting: dict[str, float] = {}
        self._most_threads = threads
        self._changed = Condition()
        self._jobs = FairTurns[_Job[Any]](most)
        self._threads = 0
        self._idle = 0
        self._is_closed = False

    def submit(self, client: str, call: Callable[[], _T]) -> Future[_T]:
        """Return what ``call`` will return, in a thread."""
        job = _Job(client, call)
        with self._changed:
            if self._rests:
                self._asking.note(client)
            self._jobs.put(client, job)
            # An idle thread may be on its way to another job already.
            if len(self._jobs) > self._idle and self._threads < self._most_threads:
                Thread(target=self._work, name=self._name, daemon=True).start()
                self._threads += 1
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """End the threads once they have done what they do now."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            began = time.thread_time()
            job.run()
            computed = time.thread_time() - began
            with self._changed:
                self._jobs.give_back(job.client)
                self._let_rest(job.client, computed)
            # Or the last one, and what it made, would stay until the next comes.
            del job

    def _next(self) -> _Job[Any] | None:
        with self._changed:
            self._idle += 1
            while not self._is_closed and (client := self._turn()) is None:
                self._changed.wait(self._until_one_has_rested())
            self._idle -= 1
            if self._is_closed or client is None:
                return None
            return self._jobs.take(client)

    def _turn(self) -> str | None:
        """Return the client whose turn it is; end the rests that are over."""
        now = self._clock()
        for client in [each for each, end in self._resting.items() if end <= now]:
            del self._resting[client]
        awake = (each for each in self._jobs.clients() if each not in self._resting)
        return next(awake, None)

    def _let_rest(self, client: str, computed_s: float) -> None:
        if computed_s > _SLOW_S and self._asking.others_ask(client):
            now = self._clock()
            end = max(self._resting.get(client, now), now) + _REST * computed_s
            # No longer than another one counts as asking.
            self._resting[client] = min(end, now + ASKING_S)

    def _until_one_has_rested(self) -> float | None:
        """Return the seconds after which a client that waits may have a turn."""
        rest = self._resting
        ends = [rest[client] for client in self._jobs.clients() if client in rest]
        return max(min(ends) - self._clock(), 0.0) if ends else None
