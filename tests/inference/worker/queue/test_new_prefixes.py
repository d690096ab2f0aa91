from __future__ import annotations

from inference.worker.queue.new_prefixes import MAX_NAMED, NewPrefixes


def test_each_beginning_is_named_once() -> None:
    new = NewPrefixes()
    new.put([1, 2])
    assert new.take() == (1, 2)
    new.put([1, 2, 3])
    assert new.take() == (3,)
    assert new.take() == ()


def test_of_many_the_newest_are_named() -> None:
    new = NewPrefixes()
    new.put(range(MAX_NAMED + 10))
    assert new.take() == tuple(range(10, MAX_NAMED + 10))
