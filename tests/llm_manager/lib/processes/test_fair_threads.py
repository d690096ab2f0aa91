"""Jobs of many clients in a few threads: clients take turns."""

from __future__ import annotations

import time
import weakref
from concurrent.futures import wait
from functools import partial
from threading import Barrier, Event
from typing import TYPE_CHECKING

import pytest

from llm_manager.lib.processes.fair_threads import FairThreads
from tests.fakes import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WAIT_S = 60


@pytest.fixture
def threads() -> Iterator[FairThreads]:
    made = FairThreads("test", threads=2)
    yield made
    made.close()


def test_a_client_has_one_job_at_a_time(threads: FairThreads) -> None:
    begun, may_end = Event(), Event()

    def slow() -> bool:
        begun.set()
        return may_end.wait(_WAIT_S)

    first = threads.submit("greedy", slow)
    second = threads.submit("greedy", lambda: "second")
    assert begun.wait(_WAIT_S)

    assert threads.submit("quiet", lambda: "quiet").result(_WAIT_S) == "quiet"
    assert not second.done()
    may_end.set()
    assert first.result(_WAIT_S)
    assert second.result(_WAIT_S) == "second"


def test_clients_take_turns() -> None:
    single = FairThreads("single", threads=1)
    may_begin = Event()
    order: list[str] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    blocking = single.submit("blocking", lambda: may_begin.wait(_WAIT_S))
    jobs = [single.submit(name, note(name)) for name in ("a", "a", "a", "b")]
    may_begin.set()
    assert blocking.result(_WAIT_S)
    assert not wait(jobs, _WAIT_S).not_done

    assert order == ["a", "b", "a", "a"]
    single.close()


def test_jobs_that_come_together_run_together(threads: FairThreads) -> None:
    # One thread is there and idle, and can take one of the two.
    threads.submit("a", lambda: None).result(_WAIT_S)
    together = Barrier(2, timeout=_WAIT_S)

    jobs = [threads.submit(name, together.wait) for name in ("a", "b")]

    assert sorted(each.result(_WAIT_S) for each in jobs) == [0, 1]


def test_a_job_that_fails_fails_alone(threads: FairThreads) -> None:
    def fail() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        threads.submit("a", fail).result(_WAIT_S)
    assert threads.submit("a", lambda: 1).result(_WAIT_S) == 1


def test_a_job_that_was_cancelled_is_not_done(threads: FairThreads) -> None:
    begun, may_end = Event(), Event()
    done: list[int] = []

    def slow() -> None:
        begun.set()
        may_end.wait(_WAIT_S)

    threads.submit("a", slow)
    assert begun.wait(_WAIT_S)
    waiting = threads.submit("a", lambda: done.append(1))
    assert waiting.cancel()
    may_end.set()
    threads.submit("a", lambda: None).result(_WAIT_S)

    assert not done


def test_of_a_job_that_was_cancelled_nothing_is_kept(threads: FairThreads) -> None:
    class Body:
        """What a job was made for."""

    may_end = Event()
    threads.submit("a", lambda: may_end.wait(_WAIT_S))
    body = Body()
    kept = weakref.ref(body)
    waiting = threads.submit("a", partial(id, body))
    del body
    assert kept() is not None

    assert waiting.cancel()

    assert kept() is None
    may_end.set()


def compute() -> None:
    """Compute for longer than a client may without a rest."""
    end = time.thread_time() + 0.05
    while time.thread_time() < end:
        pass


def test_a_client_rests_after_a_slow_job_while_others_ask() -> None:
    clock = Clock()
    threads = FairThreads("test", threads=2, rests=True, clock=clock)
    threads.submit("quiet", int).result(_WAIT_S)
    threads.submit("greedy", compute).result(_WAIT_S)

    second = threads.submit("greedy", int)
    threads.submit("quiet", int).result(_WAIT_S)
    assert not second.done()

    clock.now += 1
    assert second.result(_WAIT_S) == 0
    threads.close()


def test_a_client_that_is_alone_does_not_rest() -> None:
    clock = Clock()
    threads = FairThreads("test", threads=2, rests=True, clock=clock)
    threads.submit("greedy", compute).result(_WAIT_S)
    assert threads.submit("greedy", int).result(_WAIT_S) == 0
    threads.close()
