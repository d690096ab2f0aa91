"""Which workers make room, and which never do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from inference.capacity.eviction import Eviction, LoadedWorker, choose_evictions


def loaded(key: int, memory: int = 10, **fields: Any) -> LoadedWorker:
    defaults = {"model": key, "last_used": float(key), "running": 0}
    return LoadedWorker(**{**defaults, "key": key, "memory": (memory,), **fields})


def where(
    *others: LoadedWorker, needed: int = 10, limit: int = 30, n: int = 9
) -> Eviction:
    return choose_evictions(
        model=99, needed=(needed,), limits=(limit,), max_models=n, loaded=others
    )


def test_a_model_that_fits_evicts_nobody() -> None:
    assert where(loaded(1), loaded(2)) == Eviction(fits_now=True)


def test_the_least_recently_used_goes_first() -> None:
    assert where(loaded(3), loaded(1), loaded(2)).evict == (1,)


def test_an_idle_model_goes_before_one_that_works() -> None:
    assert where(loaded(1, running=2), loaded(2), loaded(3)).evict == (2,)


def test_as_many_go_as_are_needed() -> None:
    assert where(loaded(1), loaded(2), loaded(3), needed=20).evict == (1, 2)


def test_one_large_model_goes_instead_of_several() -> None:
    assert where(loaded(1, 5), loaded(2, 25), needed=25).evict == (2,)


def test_the_count_is_a_limit_of_its_own() -> None:
    assert where(loaded(1, 1), loaded(2, 1), n=2).evict == (1,)


def test_replicas_count_as_one_model() -> None:
    alike = [loaded(1, 1, model=5), loaded(2, 1, model=5, is_extra=True)]
    assert where(*alike, n=2) == Eviction(fits_now=True)


def test_a_spare_replica_goes_before_an_idle_model() -> None:
    busy = loaded(3, model=5, is_extra=True, running=2)
    assert where(loaded(1), loaded(2, model=5), busy).evict == (3,)


def test_a_draining_worker_is_waited_for() -> None:
    leaving = loaded(1, is_draining=True)
    assert where(leaving, loaded(2), loaded(3)) == Eviction()


def test_a_fresh_model_is_waited_for() -> None:
    fresh = loaded(1, is_just_loaded=True)
    assert where(fresh, needed=25) == Eviction()
    assert where(replace(fresh, is_just_loaded=False), needed=25).evict == (1,)


def test_no_worker_is_evicted_in_vain() -> None:
    others = [loaded(1), loaded(2, is_just_loaded=True)]
    assert where(*others, needed=25) == Eviction()


def test_a_pinned_model_stays() -> None:
    pinned = loaded(1, is_pinned=True)
    assert where(pinned, loaded(2), loaded(3)).evict == (2,)
    assert where(pinned, loaded(2), needed=25) == Eviction(is_blocked=True)
    assert where(pinned, n=1) == Eviction(is_blocked=True)


def test_every_device_must_have_room() -> None:
    others = [
        replace(loaded(1), memory=(1, 20)),
        replace(loaded(2), memory=(20, 1)),
    ]
    decision = choose_evictions(
        model=9, needed=(5, 5), limits=(30, 25), max_models=9, loaded=others
    )
    assert decision.evict == (1,)
