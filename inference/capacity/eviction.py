"""Which loaded models must go so that another fits: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    #: Bytes by device, the machine's own memory first.
    Memory = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A worker: of which model, its memory, when it was last used, what it runs.

    ``last_used`` is any clock that grows; ``is_leaving`` says that it drains
    already, ``is_pinned`` that it never has to go, ``is_spare`` that its model has
    another one, ``is_fresh`` that it has not had the time to serve what it was
    loaded for: it stays, or models in turn would be loaded and never serve.
    """

    key: int
    model: int
    memory: Memory
    last_used: float
    running: int
    is_leaving: bool = False
    is_pinned: bool = False
    is_spare: bool = False
    is_fresh: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """``fits_now``, or what must be drained first.

    Neither is to wait: something leaves, or has to serve for a while yet.
    ``is_blocked`` says that not even that helps: the rest is pinned.
    """

    fits_now: bool = False
    evict: tuple[int, ...] = ()
    is_blocked: bool = False


def place(
    *,
    model: int,
    needed: Memory,
    limits: Memory,
    max_models: int,
    loaded: Sequence[Loaded],
) -> Placement:
    """Decide how a worker of ``model`` gets ``needed`` bytes beside the loaded ones.

    Second workers of a model go first, then idle ones, then the least recently
    used. What drains already makes room by itself, so no more is evicted than is
    still needed.
    """

    def fits(others: Iterable[Loaded]) -> bool:
        others = list(others)
        memory = (*(each.memory for each in others), needed)
        models = {each.model for each in others} | {model}
        return len(models) <= max_models and all(
            sum(device) <= limit
            for device, limit in zip(zip(*memory, strict=True), limits, strict=True)
        )

    if fits(loaded):
        return Placement(fits_now=True)
    staying = [each for each in loaded if not each.is_leaving]
    if fits(staying):
        return Placement()
    if not fits(each for each in staying if each.is_pinned):
        return Placement(is_blocked=True)
    candidates = sorted(
        (each for each in staying if not each.is_pinned and not each.is_fresh),
        key=lambda each: (not each.is_spare, each.running > 0, each.last_used),
    )
    if not fits(each for each in staying if each not in candidates):
        return Placement()
    evict: list[Loaded] = []
    while not fits(each for each in staying if each not in evict):
        evict.append(candidates[len(evict)])
    # One large worker may make those superfluous that were to go before it.
    for each in evict[:-1]:
        rest = [other for other in evict if other is not each]
        if fits(other for other in staying if other not in rest):
            evict = rest
    return Placement(evict=tuple(each.key for each in evict))
