"""Threads for the jobs of many clients, none of whom keeps the others waiting."""

from __future__ import annotations

import time
from collections import Counter, deque
from concurrent.futures import Future
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

#: A job that has computed for longer makes its client rest, this many times as long.
_SLOW_S = 0.008
_REST = 3.0
#: How long a client counts as asking after its last job, as in the engine's shares.
#: None rests for longer.
_ASKING_S = 2.0


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
        #: When each client asked last, the latest at the end.
        self._asked: dict[str, float] = {}
        #: Until when clients rest.
        self._resting: dict[str, float] = {}
        self._most_threads = threads
        self._most = most
        self._changed = Condition()
        #: The waiting jobs by client; the first client's turn is next.
        self._waiting: dict[str, deque[_Job[Any]]] = {}
        self._running: Counter[str] = Counter()
        self._threads = 0
        self._idle = 0
        self._is_closed = False

    def submit(self, client: str, call: Callable[[], _T]) -> Future[_T]:
        """Return what ``call`` will return, in a thread."""
        job = _Job(client, call)
        with self._changed:
            self._note(client)
            self._waiting.setdefault(client, deque()).append(job)
            waiting = sum(map(len, self._waiting.values()))
            # An idle thread may be on its way to another job already.
            if waiting > self._idle and self._threads < self._most_threads:
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
                self._running[job.client] -= 1
                if not self._running[job.client]:
                    del self._running[job.client]
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
            self._running[client] += 1
            jobs = self._waiting.pop(client)
            job = jobs.popleft()
            if jobs:
                # The client's next turn comes after everybody else's.
                self._waiting[client] = jobs
            return job

    def _turn(self) -> str | None:
        now = self._clock()
        for client in self._waiting:
            if self._running[client] < self._most and (
                self._resting.get(client, now) <= now
            ):
                self._resting.pop(client, None)
                return client
        return None

    def _note(self, client: str) -> None:
        """Note that a client asks."""
        if not self._rests:
            return
        now = self._clock()
        self._asked.pop(client, None)
        self._asked[client] = now
        while self._asked[first := next(iter(self._asked))] < now - _ASKING_S:
            del self._asked[first]
            self._resting.pop(first, None)

    def _let_rest(self, client: str, computed_s: float) -> None:
        since = self._clock() - _ASKING_S
        if computed_s > _SLOW_S and any(
            at >= since for other, at in self._asked.items() if other != client
        ):
            now = self._clock()
            end = max(self._resting.get(client, now), now) + _REST * computed_s
            self._resting[client] = min(end, now + _ASKING_S)

    def _until_one_has_rested(self) -> float | None:
        """Return the seconds after which a client that waits may have a turn."""
        now = self._clock()
        ends = [
            end
            for client in self._waiting
            if self._running[client] < self._most
            and (end := self._resting.get(client, now)) > now
        ]
        return min(ends) - now if ends else None
