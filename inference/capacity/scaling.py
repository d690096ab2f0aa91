"""Whether a model should have a replica more, or one less. Pure.

One is added when requests wait for long, and taken away when the others have had room
for what runs here for much longer: between the two nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

#: The share of the slots of the others that running requests may take before one goes.
_ROOM = 0.5


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """The bounds of a model, and how long requests wait before one is added.

    ``down_after_s`` is for how long one has to be superfluous.
    """

    least: int
    most: int
    up_wait_s: float
    down_after_s: float


@dataclass(frozen=True, slots=True)
class ReplicaDemand:
    """What a model's replicas have to do now.

    ``wait_s`` is how long the oldest request has waited for its start; ``slots`` are
    those of the ``ready`` replicas, of ``replicas`` that are wanted.
    """

    wait_s: float
    running: int
    slots: int
    ready: int
    replicas: int


@dataclass(frozen=True, slots=True)
class ScalingState:
    """Since when one is superfluous, and since when all wanted ones serve."""

    calm_since: float | None = None
    whole_since: float | None = None


@dataclass(frozen=True, slots=True)
class Scaling:
    """How many replicas a model should have, and why; None leaves it as it is."""

    state: ScalingState
    replicas: int | None = None
    reason: str = ""


def scale(
    state: ScalingState, demand: ReplicaDemand, rules: ScalingRules, now: float
) -> Scaling:
    """Return what to do about a model's replicas at a time, in seconds."""
    is_whole = demand.ready >= demand.replicas
    whole_since = _since(state.whole_since, now, holds=is_whole)
    calm_since = _since(state.calm_since, now, holds=_has_one_too_many(demand))
    kept = ScalingState(calm_since, whole_since)
    if demand.replicas < rules.most and _waits(demand, rules, whole_since, now):
        return Scaling(
            replace(kept, whole_since=None),
            demand.replicas + 1,
            f"A request has waited for {demand.wait_s:.0f} s "
            f"(engine.scale_up_wait is {rules.up_wait_s:g}).",
        )
    if (
        demand.replicas > rules.least
        and calm_since is not None
        and now - calm_since >= rules.down_after_s
    ):
        return Scaling(
            ScalingState(),
            demand.replicas - 1,
            f"For {now - calm_since:.0f} s nothing waited, and the others had room for "
            "what ran.",
        )
    return Scaling(kept)


def _waits(
    demand: ReplicaDemand, rules: ScalingRules, whole_since: float | None, now: float
) -> bool:
    """Return whether requests wait for long although all replicas serve.

    A replica that has just come gets as long to take what waits.
    """
    return (
        demand.wait_s >= rules.up_wait_s
        and whole_since is not None
        and now - whole_since >= rules.up_wait_s
    )


def _has_one_too_many(demand: ReplicaDemand) -> bool:
    others = demand.slots * (demand.replicas - 1) / demand.replicas
    return not demand.wait_s and demand.running <= _ROOM * others


def _since(before: float | None, now: float, *, holds: bool) -> float | None:
    if not holds:
        return None
    return now if before is None else before
