"""Sentences about why a model does not fit, and which settings would make it fit."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inference.capacity.load_plan import load_plan
from llm_manager.lib.units import human_bytes
from registry.load_settings import conflicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from inference.capacity.load_plan import LoadPlan, LoadSpec
    from inference.capacity.machine import Machine
    from inference.capacity.memory_estimate import DeviceMemory

#: KV cache types to suggest instead of a larger one, the more precise first.
_SMALLER_TYPES = ("q8_0", "q4_0")
#: Contexts that are suggested are multiples of this.
_CTX_STEP = 512


def least_plan(spec: LoadSpec, machine: Machine) -> LoadPlan:
    """Return the plan with the least memory that the model's settings allow."""
    return load_plan(spec, machine, kv_budget=0)


def explain_shortage(
    spec: LoadSpec,
    machine: Machine,
    limits: tuple[int, ...],
    pinned: Mapping[str, tuple[int, ...]] | None = None,
) -> str:
    """Return why a model cannot be loaded, and which settings would make it fit.

    ``limits`` are the bytes that all models may take by device, the host first;
    ``pinned`` are the bytes of the models that stay loaded, by name.
    """
    plan = least_plan(spec, machine)
    pinned = pinned or {}
    free = tuple(
        limit - sum(each[device] for each in pinned.values())
        for device, limit in enumerate(limits)
    )
    sentences = [
        _shortage(device, plan, limits[device], pinned, machine)
        for device, need in enumerate(plan.needs())
        if need > free[device]
    ]
    sentences += [
        f"It needs {human_bytes(need)} on the RPC server {device.server}, which offers "
        f"{human_bytes(device.limit)}."
        for device, need in plan.remote_needs
        if need > device.limit
    ]
    found = list(changes_that_fit(spec, machine, free))
    sentences.append(
        f"It fits {_either(found)}."
        if found
        else "A shorter context, fewer sequences or a smaller KV type would not help."
    )
    return " ".join(sentences)


def _shortage(
    device: int,
    plan: LoadPlan,
    limit: int,
    pinned: Mapping[str, tuple[int, ...]],
    machine: Machine,
) -> str:
    memory = (plan.estimate.host, *plan.estimate.gpus)[device]
    where = "" if device == 0 else f" on {machine.gpus[device - 1].name}"
    key = " (engine.memory_mb)" if device == 0 else ""
    used = ", ".join(
        f"{name} {human_bytes(each[device])}"
        for name, each in pinned.items()
        if each[device]
    )
    return (
        f"It needs at least {human_bytes(memory.total)}{where} ({breakdown(memory)}). "
        f"All models together may take {human_bytes(limit)}{key}"
        + (f", and pinned models use: {used}." if used else ".")
    )


def breakdown(memory: DeviceMemory) -> str:
    """Return the parts of a device's memory: ``weights 4.4 GiB, KV cache 2.0 GiB``."""
    parts = {
        "weights": memory.weights,
        "KV cache": memory.kv,
        "states": memory.recurrent,
        "compute": memory.compute,
        "process": memory.process,
    }
    return ", ".join(
        f"{what} {human_bytes(size)}" for what, size in parts.items() if size
    )


def changes_that_fit(
    spec: LoadSpec, machine: Machine, free: tuple[int, ...]
) -> Iterator[str]:
    """Yield each single change of settings with which the model fits, in words."""

    def fits(**changes: Any) -> bool:
        """Return whether the model fits with these settings changed."""
        context = {k: v for k, v in changes.items() if k in ("n_ctx", "n_seq_max")}
        own = {k: v for k, v in changes.items() if k != "n_ctx"}
        changed = replace(
            spec,
            context=replace(spec.context, **context),
            settings=spec.settings.model_copy(update=own),
        )
        if any(conflicts(changed.settings, changed.shape)):
            return False
        return least_plan(changed, machine).fits(free)

    engine = least_plan(spec, machine).engine
    n_ctx = largest_fitting(
        range(_CTX_STEP, engine.n_ctx, _CTX_STEP), lambda n: fits(n_ctx=n)
    )
    if n_ctx:
        yield f"with a context of {n_ctx:,}"
    n_seq_max = largest_fitting(range(1, engine.n_seq_max), lambda n: fits(n_seq_max=n))
    if n_seq_max:
        yield f"with {n_seq_max} sequence{'' if n_seq_max == 1 else 's'}"
    for kind in _SMALLER_TYPES:
        if fits(cache_type_k=kind, cache_type_v=kind):
            yield f"with K and V as {kind}"
            break
    if machine.gpus or spec.remote:
        # Fewer layers on GPUs are more on the host, so there is no order to search by.
        counts = range(len(spec.shape.blocks), -1, -1)
        layers = next((count for count in counts if fits(n_gpu_layers=count)), None)
        if layers is not None:
            where = "GPUs and RPC servers" if spec.remote else "GPUs"
            yield f"with {layers} layers on {where}"


def largest_fitting(numbers: range, fits: Callable[[int], bool]) -> int | None:
    """Return the largest number that fits, given that all smaller ones fit too."""
    count = bisect_left(numbers, 1, key=lambda number: int(not fits(number)))
    return numbers[count - 1] if count else None


def _either(changes: Sequence[str]) -> str:
    """Return changes as a choice: ``with a, with b or with c``."""
    *first, last = changes
    return f"{', '.join(first)} or {last}" if first else last
