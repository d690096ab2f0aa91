"""A cache whose values are made once and freed when nobody holds them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.engine.make_once_cache import MakeOnceCache

WAIT_S = 10


def test_a_value_that_is_made_delays_nobody_who_needs_another() -> None:
    cache: MakeOnceCache[str, str] = MakeOnceCache(2)
    cache.use("quick", lambda: "a", str)
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert may_end.wait(WAIT_S)
        return "s"

    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(cache.use, "slow", slow, str)
        assert begun.wait(WAIT_S)
        try:
            assert cache.use("quick", _never, str) == "a"
            assert cache.use("other", lambda: "o", str) == "o"
        finally:
            may_end.set()
        assert making.result(WAIT_S) == "s"


def test_who_needs_a_value_that_is_being_made_gets_the_same() -> None:
    cache: MakeOnceCache[str, object] = MakeOnceCache(2)
    may_end = threading.Event()

    def make() -> object:
        assert may_end.wait(WAIT_S)
        return object()

    with ThreadPoolExecutor(4) as pool:
        users = [pool.submit(cache.use, "key", make, id) for _ in range(4)]
        may_end.set()
        assert len({user.result(WAIT_S) for user in users}) == 1


def test_a_held_value_stays_while_others_are_freed() -> None:
    freed: list[str] = []
    cache: MakeOnceCache[str, str] = MakeOnceCache(1, free=freed.append)
    cache.hold("a")
    for key in "abcd":
        cache.use(key, lambda key=key: key, str)  # type: ignore[misc]

    assert cache.use("a", _never, str) == "a"
    assert freed == ["b", "c"]

    cache.release("a")
    assert freed == ["b", "c", "d"]
    cache.use("e", lambda: "e", str)
    assert freed == ["b", "c", "d", "a"]


def test_what_cannot_be_made_is_tried_again_by_the_next() -> None:
    cache: MakeOnceCache[str, str] = MakeOnceCache(1)
    with pytest.raises(ValueError, match="bad"):
        cache.use("a", _fail, str)

    assert cache.use("a", lambda: "a", str) == "a"


def _never() -> str:
    raise AssertionError("it is made already")


def _fail() -> str:
    raise ValueError("bad")
