from __future__ import annotations

from inference.placement import Loaded, Placement, place

GIB = 2**30


def loaded(key: int, gib: float = 1, **state: object) -> Loaded:
    fields = {"last_used": float(key), "running": 0, **state}
    return Loaded(key=key, memory=int(gib * GIB), **fields)  # type: ignore[arg-type]


def decide(gib: float, *models: Loaded, limit: float = 4, count: int = 9) -> Placement:
    return place(
        needed=int(gib * GIB),
        memory_limit=int(limit * GIB),
        max_models=count,
        loaded=models,
    )


def test_a_model_with_room_starts_at_once() -> None:
    assert decide(2, loaded(1, 2)) == Placement(fits_now=True)


def test_a_model_that_can_never_fit_is_refused_with_both_numbers() -> None:
    decision = decide(9, loaded(1))
    assert "9.0 GiB" in decision.refusal
    assert "4.0 GiB" in decision.refusal
    assert decision.evict == ()


def test_the_least_recently_used_goes_first() -> None:
    assert decide(2, loaded(2, 1.5), loaded(1, 1.5)).evict == (1,)


def test_an_idle_model_goes_before_one_that_works() -> None:
    assert decide(2, loaded(1, 1.5, running=3), loaded(2, 1.5)).evict == (2,)


def test_as_many_go_as_are_needed_and_no_more() -> None:
    models = [loaded(n) for n in (1, 2, 3, 4)]
    assert decide(2, *models).evict == (1, 2)


def test_the_number_of_models_is_limited_too() -> None:
    decision = decide(0.1, loaded(1, 0.1), loaded(2, 0.1), count=2)
    assert decision == Placement(fits_now=False, evict=(1,))


def test_while_one_drains_no_second_is_evicted_for_the_same_room() -> None:
    decision = decide(1, loaded(1, 1, is_leaving=True), loaded(2, 3))
    assert decision == Placement(fits_now=False, evict=())


def test_a_model_that_has_not_served_yet_is_not_evicted() -> None:
    decision = decide(2, loaded(1, 3, is_fresh=True), loaded(2, 1))
    assert decision == Placement(fits_now=False, evict=(2,))
