"""Threads for the jobs of many clients, none of whom keeps the others waiting."""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import Future
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


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

    ``most`` jobs of one client run at once.
    """

    def __init__(self, name: str, *, threads: int, most: int = 1) -> None:
        self._name = name
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
            job.run()
            with self._changed:
                self._running[job.client] -= 1
                if not self._running[job.client]:
                    del self._running[job.client]
            # Or the last one, and what it made, would stay until the next comes.
            del job

    def _next(self) -> _Job[Any] | None:
        with self._changed:
            self._idle += 1
            while not self._is_closed and (client := self._turn()) is None:
                self._changed.wait()
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
        for client in self._waiting:
            if self._running[client] < self._most:
                return client
        return None
