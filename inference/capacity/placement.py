"""What the engine does about a model that is wished for: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.capacity.context import USEFUL_SEQUENCES
from inference.capacity.eviction import place
from inference.capacity.explanations import refusal
from inference.capacity.load_plan import plan_within
from llm_manager.lib.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from inference.capacity.eviction import Loaded, Memory
    from inference.capacity.load_plan import LoadPlan, LoadRequest
    from inference.capacity.machine import Machine


@dataclass(frozen=True, slots=True)
class Room:
    """What a machine has, and who takes it; ``names`` are those of the models."""

    machine: Machine
    limits: Memory
    max_models: int
    loaded: Sequence[Loaded]
    names: Mapping[int, str]

    @property
    def free(self) -> Memory:
        """Bytes that are left, by device."""
        return _less(self.limits, (each.memory for each in self.loaded))

    @property
    def models(self) -> set[int]:
        """The models that are loaded."""
        return {each.model for each in self.loaded}


@dataclass(frozen=True, slots=True)
class Decision:
    """Load by ``plan`` now; or ``evict`` these workers first; or wait; or never.

    ``reason`` says why it is not loaded now, if that may take longer.
    """

    plan: LoadPlan | None = None
    evict: tuple[int, ...] = ()
    is_refused: bool = False
    reason: str = ""


def decide(request: LoadRequest, *, model: int, is_spare: bool, room: Room) -> Decision:
    """Decide about one more worker of a model.

    The first one takes what is free if that does for its requests, else others
    make room for it; a spare one, of a model that is served, takes what is free.
    """
    held = _pinned(room)
    is_mapped = any(each.model == model and not each.is_leaving for each in room.loaded)
    left = _less(room.limits, held.values())
    best = plan_within(request, room.machine, left, is_mapped=is_mapped)
    if best is None:
        reason = refusal(request, room.machine, room.limits, held)
        return Decision(is_refused=not is_spare, reason=reason)
    needed = best.needs(is_mapped=is_mapped)
    if len(room.models | {model}) <= room.max_models:
        now = plan_within(request, room.machine, room.free, is_mapped=is_mapped)
        if now is not None and _is_ample(now, best, request):
            return Decision(plan=now)
    if is_spare:
        return Decision(reason=_shortage(needed, room.free))
    placement = place(
        model=model,
        needed=needed,
        limits=room.limits,
        max_models=room.max_models,
        loaded=room.loaded,
    )
    if placement.is_blocked:
        return Decision(is_refused=True, reason=_too_many(room, held))
    return Decision(plan=best if placement.fits_now else None, evict=placement.evict)


def _is_ample(plan: LoadPlan, best: LoadPlan, request: LoadRequest) -> bool:
    """Whether a plan does for requests as well as the best one, or nearly so."""
    n_ctx = min(request.wish.at_load, best.engine.n_ctx)
    useful = min(USEFUL_SEQUENCES, best.engine.n_seq_max)
    return plan.engine.n_ctx >= n_ctx and plan.engine.n_cells >= min(
        useful * n_ctx, best.engine.n_cells
    )


def _shortage(needed: Memory, free: Memory) -> str:
    short = max(range(len(needed)), key=lambda device: needed[device] - free[device])
    where = "" if short == 0 else f" on GPU {short - 1}"
    return (
        f"It waits for memory: it needs {human_bytes(needed[short])}{where}, "
        f"{human_bytes(max(free[short], 0))} are free. Other models are not unloaded "
        "for a further replica."
    )


def _too_many(room: Room, held: Mapping[str, Memory]) -> str:
    return (
        f"As many models as may be loaded here (engine.max_models is "
        f"{room.max_models}) are pinned: {', '.join(sorted(held))}."
    )


def _pinned(room: Room) -> dict[str, Memory]:
    """Return the memory of pinned models, by name."""
    held: dict[str, Memory] = {}
    for each in room.loaded:
        if each.is_pinned:
            name = room.names[each.model]
            held[name] = _sum([each.memory, *([held[name]] if name in held else ())])
    return held


def _sum(memories: Iterable[Memory]) -> Memory:
    return tuple(map(sum, zip(*memories, strict=True)))


def _less(limits: Memory, taken: Iterable[Memory]) -> Memory:
    sums = _sum([(0,) * len(limits), *taken])
    return tuple(limit - used for limit, used in zip(limits, sums, strict=True))
