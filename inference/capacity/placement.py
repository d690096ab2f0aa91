"""Whether and how a node loads a worker: now, after evictions, or never. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.capacity.context import USEFUL_SEQUENCES
from inference.capacity.eviction import choose_evictions
from inference.capacity.explanations import explain_shortage
from inference.capacity.load_plan import plan_within
from llm_manager.lib.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from inference.capacity.eviction import LoadedWorker, Memory
    from inference.capacity.load_plan import LoadPlan, LoadSpec
    from inference.capacity.machine import Machine


@dataclass(frozen=True, slots=True)
class NodeCapacity:
    """What a node has for models, and what is loaded there.

    ``limits`` are the bytes that all models may take by device, the host first;
    ``names`` maps the models of ``loaded`` to their names.
    """

    machine: Machine
    limits: Memory
    max_models: int
    loaded: Sequence[LoadedWorker]
    names: Mapping[int, str]

    @property
    def free(self) -> Memory:
        """Bytes that are left, by device."""
        return _less(self.limits, (each.memory for each in self.loaded))

    @property
    def models(self) -> set[int]:
        return {each.model for each in self.loaded}


@dataclass(frozen=True, slots=True)
class Placement:
    """Load with ``plan`` now, or ``evict`` these workers first, or wait.

    ``planned`` is the plan after the evictions.
    ``is_impossible``: the model does not fit on this node. ``reason`` says why the
    worker is not loaded now, if that may take longer.
    """

    plan: LoadPlan | None = None
    evict: tuple[int, ...] = ()
    is_impossible: bool = False
    reason: str = ""
    planned: LoadPlan | None = None


def place_worker(
    spec: LoadSpec, *, model: int, is_extra: bool, capacity: NodeCapacity
) -> Placement:
    """Decide about one more worker of a model.

    The first worker of a model takes the free memory if that is about as good for its
    requests as the memory of the whole node; otherwise it evicts others. An extra
    worker takes free memory only.
    """
    pinned = _pinned_memory(capacity)
    is_mapped = any(
        each.model == model and not each.is_draining for each in capacity.loaded
    )
    left = _less(capacity.limits, pinned.values())
    best = plan_within(spec, capacity.machine, left, is_mapped=is_mapped)
    if best is None:
        reason = explain_shortage(spec, capacity.machine, capacity.limits, pinned)
        return Placement(is_impossible=not is_extra, reason=reason)
    if by_servers := _placed_by_servers(spec, model, capacity, best):
        return by_servers
    needed = best.needs(is_mapped=is_mapped)
    if len(capacity.models | {model}) <= capacity.max_models:
        now = plan_within(spec, capacity.machine, capacity.free, is_mapped=is_mapped)
        if now is not None and _is_about_as_good(now, best, spec):
            return Placement(plan=now, planned=now)
    if is_extra:
        return Placement(reason=_waits_for_memory(needed, capacity.free))
    eviction = choose_evictions(
        model=model,
        needed=needed,
        limits=capacity.limits,
        max_models=capacity.max_models,
        loaded=capacity.loaded,
    )
    if eviction.is_blocked:
        return Placement(is_impossible=True, reason=_all_pinned(capacity, pinned))
    return Placement(
        plan=best if eviction.fits_now else None, evict=eviction.evict, planned=best
    )


def _placed_by_servers(
    spec: LoadSpec, model: int, capacity: NodeCapacity, best: LoadPlan
) -> Placement | None:
    """Return what its RPC servers decide: each serves one worker. None if nothing."""
    wanted = frozenset(spec.settings.rpc_servers)
    holders = [each for each in capacity.loaded if each.servers & wanted]
    if not holders:
        return None
    names = ", ".join(sorted({capacity.names[each.model] for each in holders}))
    held = frozenset().union(*(each.servers for each in holders))
    taken = ", ".join(sorted(wanted & held))
    reason = f"{names} has the RPC server {taken} to itself"
    if any(each.model == model for each in holders):
        return Placement(reason=f"Waiting: {reason}.")
    if any(each.is_pinned and not each.is_draining for each in holders):
        return Placement(is_impossible=True, reason=f"{reason}, and is pinned.")
    staying = [each for each in holders if not each.is_draining]
    if any(each.is_just_loaded for each in staying):
        return Placement()
    return Placement(evict=tuple(each.key for each in staying), planned=best)


def _is_about_as_good(plan: LoadPlan, best: LoadPlan, spec: LoadSpec) -> bool:
    """Return whether a plan has the context, and useful cells, of the best plan."""
    n_ctx = min(spec.context.at_load, best.engine.n_ctx)
    useful = min(USEFUL_SEQUENCES, best.engine.n_seq_max)
    return plan.engine.n_ctx >= n_ctx and plan.engine.n_cells >= min(
        useful * n_ctx, best.engine.n_cells
    )


def _waits_for_memory(needed: Memory, free: Memory) -> str:
    short = max(range(len(needed)), key=lambda device: needed[device] - free[device])
    where = "" if short == 0 else f" on GPU {short - 1}"
    return (
        f"Waiting for memory: it needs {human_bytes(needed[short])}{where} and "
        f"{human_bytes(max(free[short], 0))} is free. Other models are not unloaded "
        "for an additional replica."
    )


def _all_pinned(capacity: NodeCapacity, pinned: Mapping[str, Memory]) -> str:
    return (
        "No more models can be loaded here: the limit is "
        f"{capacity.max_models} (engine.max_models), and these are pinned: "
        f"{', '.join(sorted(pinned))}."
    )


def _pinned_memory(capacity: NodeCapacity) -> dict[str, Memory]:
    """Return the memory of pinned models, by name."""
    memory: dict[str, Memory] = {}
    for each in capacity.loaded:
        if each.is_pinned:
            name = capacity.names[each.model]
            before = [memory[name]] if name in memory else []
            memory[name] = _sum([each.memory, *before])
    return memory


def _sum(memories: Iterable[Memory]) -> Memory:
    return tuple(map(sum, zip(*memories, strict=True)))


def _less(limits: Memory, taken: Iterable[Memory]) -> Memory:
    sums = _sum([(0,) * len(limits), *taken])
    return tuple(limit - used for limit, used in zip(limits, sums, strict=True))
