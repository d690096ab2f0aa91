"""Computes how many sequences of each key may run beside the others'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: A step that carries heavy keys takes at most this multiple of a step that carries the
#: light ones alone. Where a larger batch costs little (a GPU below saturation), no key
#: is limited; where it costs in proportion (a CPU), heavy keys are.
MAX_INTERFERENCE = 1.6


@dataclass(frozen=True, slots=True)
class KeyDemand:
    """A key's number of waiting and running sequences, and its weight."""

    count: int
    weight: float = 1.0


def fair_shares(
    demands: Mapping[str, KeyDemand],
    *,
    n_seq_max: int,
    step_seconds: Callable[[int], float] | None,
) -> dict[str, int]:
    """Return how many sequences of each key may run at once.

    Slots are shared max-min fairly by weight. A key with fewer sequences than its even
    share is light; beside light keys, heavy ones run only as many sequences as keep the
    step short, but never fewer than an even share. ``step_seconds`` returns the seconds
    of a decode of n sequences, None if unknown.
    """
    granted = _water_fill(demands, n_seq_max)
    total = sum(granted.values())
    weights = sum(demand.weight for demand in demands.values())
    light = {
        name
        for name, demand in demands.items()
        if demand.count < total * demand.weight / weights
    }
    if not light or step_seconds is None:
        return granted
    n_light = sum(granted[name] for name in light)
    unit = max(granted[name] / demands[name].weight for name in light)
    entitled = {
        name: granted[name] if name in light else _even(unit, demands[name])
        for name in demands
    }
    bound = MAX_INTERFERENCE * step_seconds(n_light)
    count = max(n_light, min(total, sum(entitled.values())))
    while count < total and step_seconds(count + 1) <= bound:
        count += 1
    return _water_fill(demands, count)


def _even(unit: float, demand: KeyDemand) -> int:
    return min(demand.count, max(1, round(unit * demand.weight)))


def _water_fill(demands: Mapping[str, KeyDemand], count: int) -> dict[str, int]:
    """Distribute ``count`` slots, each to the key with the fewest for its weight."""
    granted = dict.fromkeys(demands, 0)
    for _ in range(min(count, sum(demand.count for demand in demands.values()))):
        name = min(
            (name for name in demands if granted[name] < demands[name].count),
            key=lambda name: (granted[name] + 1) / demands[name].weight,
        )
        granted[name] += 1
    return granted
