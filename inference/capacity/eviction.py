"""Which workers to unload so that another one fits. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    #: Bytes by device, the machine's own memory first.
    Memory = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LoadedWorker:
    """A loaded worker, as far as eviction needs it.

    ``last_used`` is from any monotonic clock. ``is_pinned``: it is never unloaded.
    ``is_extra``: its model has another worker. ``is_just_loaded``: it has not had time
    to serve the requests that it was loaded for. It stays for now; else models could
    replace one another forever and none would serve. ``servers`` are the RPC servers
    that it has to itself.
    """

    key: int
    model: int
    memory: Memory
    last_used: float
    running: int
    is_draining: bool = False
    is_pinned: bool = False
    is_extra: bool = False
    is_just_loaded: bool = False
    servers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Eviction:
    """Which workers to drain first; none if the new one ``fits_now``.

    ``is_blocked``: it does not fit, even without every worker that is not pinned. If
    none of the three is set, wait: a worker is draining, or was just loaded.
    """

    fits_now: bool = False
    evict: tuple[int, ...] = ()
    is_blocked: bool = False


def choose_evictions(
    *,
    model: int,
    needed: Memory,
    limits: Memory,
    max_models: int,
    loaded: Sequence[LoadedWorker],
) -> Eviction:
    """Return which workers to unload so that ``needed`` bytes are free for ``model``.

    Extra workers of a model go first, then idle ones, then the least recently used.
    Workers that are draining make room by themselves, so they count as gone.
    """

    def fits(others: Iterable[LoadedWorker]) -> bool:
        others = list(others)
        memory = (*(each.memory for each in others), needed)
        models = {each.model for each in others} | {model}
        return len(models) <= max_models and all(
            sum(device) <= limit
            for device, limit in zip(zip(*memory, strict=True), limits, strict=True)
        )

    if fits(loaded):
        return Eviction(fits_now=True)
    staying = [each for each in loaded if not each.is_draining]
    if fits(staying):
        return Eviction()
    if not fits(each for each in staying if each.is_pinned):
        return Eviction(is_blocked=True)
    candidates = sorted(
        (each for each in staying if not each.is_pinned and not each.is_just_loaded),
        key=lambda each: (not each.is_extra, each.running > 0, each.last_used),
    )
    if not fits(each for each in staying if each not in candidates):
        return Eviction()
    evict: list[LoadedWorker] = []
    while not fits(each for each in staying if each not in evict):
        evict.append(candidates[len(evict)])
    # The last one may be so large that some before it can stay.
    for each in evict[:-1]:
        rest = [other for other in evict if other is not each]
        if fits(other for other in staying if other not in rest):
            evict = rest
    return Eviction(evict=tuple(each.key for each in evict))
