"""Rows that are believed for a second."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore

import pytest
from django.db import transaction

from llm_manager.lib.row_cache import RecentRows
from registry.errors import ModelNotFound
from registry.models import Alias, FileState, Model
from registry.served_models import served_model
from tests.factories import make_model


class Shelf:
    """What there is to read, and how often it was read."""

    def __init__(self) -> None:
        self.now = 10.0
        self.rows = {"a": "first"}
        self.reads = 0
        self.recent = RecentRows(self.read, size=2, clock=lambda: self.now)

    def read(self, name: str) -> str:
        self.reads += 1
        return self.rows[name]


def test_a_row_is_read_once_in_a_second() -> None:
    shelf = Shelf()
    assert [shelf.recent("a"), shelf.recent("a")] == ["first", "first"]
    assert shelf.reads == 1


def test_another_process_s_change_is_seen_within_a_second() -> None:
    shelf = Shelf()
    shelf.recent("a")
    shelf.rows["a"] = "second"
    shelf.now += 1.0
    assert shelf.recent("a") == "second"


def test_a_change_that_is_told_of_is_seen_at_once() -> None:
    shelf = Shelf()
    shelf.recent("a")
    shelf.rows["a"] = "second"
    shelf.recent.forget()
    assert shelf.recent("a") == "second"


def test_a_row_that_was_being_read_during_a_change_is_not_kept() -> None:
    shelf = Shelf()
    read = shelf.read

    def slow(name: str) -> str:
        row = read(name)
        shelf.rows["a"] = "second"
        recent.forget()
        return row

    recent = RecentRows(slow, size=2, clock=lambda: shelf.now)
    assert recent("a") == "first"
    assert recent("a") == "second"


def test_of_many_that_ask_at_once_one_reads() -> None:
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

    recent = RecentRows(slow, size=2, clock=clock)
    with ThreadPoolExecutor(5) as pool:
        assert set(pool.map(recent, "aaaaa")) == {"a"}
    assert reads == ["a"]


@pytest.mark.django_db(transaction=True)
def test_what_was_read_before_a_transaction_was_over_is_not_believed_after_it() -> None:
    shelf = Shelf()
    with transaction.atomic():
        shelf.recent.forget(using="default")
        # As another thread does, which cannot see yet what is written here.
        assert shelf.recent("a") == "first"
        shelf.rows["a"] = "second"
    assert shelf.recent("a") == "second"


def test_of_more_names_than_it_may_keep_the_oldest_goes() -> None:
    shelf = Shelf()
    shelf.rows |= {"b": "b", "c": "c"}
    for name in ("a", "b", "c", "c", "b", "a"):
        shelf.recent(name)
    assert shelf.reads == 4


def test_that_there_was_nothing_is_not_believed() -> None:
    shelf = Shelf()
    with pytest.raises(KeyError):
        shelf.recent("b")
    shelf.rows["b"] = "new"
    assert shelf.recent("b") == "new"


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
