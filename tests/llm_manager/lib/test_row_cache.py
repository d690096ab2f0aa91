"""Rows are cached for one second."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from typing import TYPE_CHECKING

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import OperationalError, transaction

from llm_manager.lib import row_cache
from llm_manager.lib.processes.fair_threads import FairThreads
from llm_manager.lib.row_cache import RowCache
from registry.errors import ModelNotFound
from registry.models import Alias, FileState, Model
from registry.served_models import served_model
from tests.factories import make_model

if TYPE_CHECKING:
    from collections.abc import Iterator


class Table:
    """Rows, and how often one was read."""

    def __init__(self) -> None:
        self.now = 10.0
        self.rows = {"a": "first"}
        self.reads = 0
        self.cache = RowCache(self.read, size=2, clock=lambda: self.now)

    def read(self, name: str) -> str:
        self.reads += 1
        return self.rows[name]


def test_a_row_is_read_once_in_a_second() -> None:
    table = Table()
    assert [table.cache("a"), table.cache("a")] == ["first", "first"]
    assert table.reads == 1


def test_a_row_is_at_hand_until_shortly_before_it_is_read_again() -> None:
    table = Table()
    assert table.cache.at_hand("a") is None
    table.cache("a")
    assert table.cache.at_hand("a") == "first"
    table.now += 0.95
    assert table.cache.at_hand("a") is None
    assert table.reads == 1


def test_who_waits_for_a_reader_that_may_not_read_does_it_itself() -> None:
    reading, may_end = Event(), Event()

    def read(_name: str) -> str:
        if may_end.is_set():
            return "row"
        reading.set()
        may_end.wait(60)
        raise SynchronousOnlyOperation

    cache = RowCache(read, size=2)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(cache, "a")
        assert reading.wait(60)
        second = threads.submit(cache, "a")
        may_end.set()
        assert second.result(60) == "row"
        assert isinstance(first.exception(60), SynchronousOnlyOperation)


def test_another_process_s_change_is_seen_within_a_second() -> None:
    table = Table()
    table.cache("a")
    table.rows["a"] = "second"
    table.now += 1.0
    assert table.cache("a") == "second"


def test_a_change_in_this_process_is_seen_at_once() -> None:
    table = Table()
    table.cache("a")
    table.rows["a"] = "second"
    table.cache.clear()
    assert table.cache("a") == "second"


def test_a_row_that_changes_while_it_is_read_is_not_cached() -> None:
    table = Table()
    read = table.read

    def slow(name: str) -> str:
        row = read(name)
        table.rows["a"] = "second"
        cache.clear()
        return row

    cache = RowCache(slow, size=2, clock=lambda: table.now)
    assert cache("a") == "first"
    assert cache("a") == "second"


def test_of_many_threads_at_once_one_reads() -> None:
    asked = Semaphore(0)
    reads: list[str] = []

    def clock() -> float:
        asked.release()
        return 10.0

    def slow(name: str) -> str:
        reads.append(name)
        # The first one reads until all others have asked.
        for _ in range(5):
            assert asked.acquire(timeout=20)
        return name

    cache = RowCache(slow, size=2, clock=clock)
    with ThreadPoolExecutor(5) as pool:
        assert set(pool.map(cache, "aaaaa")) == {"a"}
    assert reads == ["a"]


@pytest.mark.django_db(transaction=True)
def test_a_row_read_before_a_commit_is_not_cached_after_it() -> None:
    table = Table()
    with transaction.atomic():
        table.cache.clear(using="default")
        # As another thread does: it cannot see the uncommitted change.
        assert table.cache("a") == "first"
        table.rows["a"] = "second"
    assert table.cache("a") == "second"


def test_above_its_size_it_drops_the_oldest_name() -> None:
    table = Table()
    table.rows |= {"b": "b", "c": "c"}
    for name in ("a", "b", "c", "c", "b", "a"):
        table.cache(name)
    assert table.reads == 4


def test_a_missing_row_is_not_cached() -> None:
    table = Table()
    with pytest.raises(KeyError):
        table.cache("b")
    table.rows["b"] = "new"
    assert table.cache("b") == "new"


@pytest.mark.django_db
def test_a_model_s_changes_are_seen_at_once() -> None:
    model = make_model("tiny")
    assert served_model("tiny") == model

    Alias.objects.create(name="small", model=model)
    assert served_model("small") == model

    model.max_tokens = 7
    model.save()
    assert served_model("small").max_tokens == 7

    model.state = FileState.MISSING
    model.save()
    with pytest.raises(ModelNotFound):
        served_model("tiny")

    Model.objects.all().delete()
    with pytest.raises(ModelNotFound):
        served_model("small")


def away(name: str) -> str:
    raise OperationalError("the server is away")


def test_what_is_known_is_believed_for_a_minute_while_the_database_is_away() -> None:
    table = Table()
    table.cache("a")
    table.cache._read = away
    table.now += 59
    assert table.cache("a") == "first"
    table.now += 2
    with pytest.raises(OperationalError):
        table.cache("a")


def test_what_is_not_known_is_an_error_while_the_database_is_away() -> None:
    table = Table()
    table.cache._read = away
    for _ in range(2):
        with pytest.raises(OperationalError):
            table.cache("a")


def test_a_change_is_seen_as_soon_as_the_database_is_back() -> None:
    table = Table()
    table.cache("a")
    table.cache._read = away
    table.now += 20
    table.cache("a")
    table.cache._read = table.read
    table.rows["a"] = "second"
    assert table.cache("a") == "second"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Rows are read in threads; a read may wait until this is set."""
    answers = Event()
    threads = FairThreads("rows", threads=2, most=2)
    monkeypatch.setattr(RowCache, "threads", threads)
    yield answers
    answers.set()
    threads.close()


def test_a_database_that_does_not_answer_is_not_waited_for(
    silent: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table()
    assert table.cache("a") == "first"
    other = Table()
    other.cache("a")

    def waits(name: str) -> str:
        assert silent.wait(60)
        return "second"

    table.cache._read = waits
    other.cache._read = waits
    table.now = other.now = 20.0
    monkeypatch.setattr(row_cache, "PATIENCE_S", 0.01)
    assert table.cache("a") == "first"
    # From then on nobody waits, for any row.
    monkeypatch.setattr(row_cache, "PATIENCE_S", 60.0)
    assert [table.cache("a"), other.cache("a")] == ["first", "first"]
    silent.set()
    table.cache._rows["a"].row.result(60)
    assert table.cache("a") == "second"


def test_what_was_known_long_ago_is_waited_for(silent: Event) -> None:
    table = Table()
    table.cache("a")
    table.rows["a"] = "second"
    table.now += 61
    silent.set()
    assert table.cache("a") == "second"


def test_who_asks_on_an_event_loop_waits_for_no_thread(silent: Event) -> None:
    table = Table()
    table.cache("a")
    table.now += 2

    def refuses(_name: str) -> str:
        raise SynchronousOnlyOperation

    async def ask() -> str:
        return table.cache("a")

    table.cache._read = refuses
    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(ask())


def test_a_row_that_is_gone_is_not_believed() -> None:
    table = Table()
    table.cache("a")
    del table.rows["a"]
    table.now += 2
    with pytest.raises(KeyError):
        table.cache("a")
