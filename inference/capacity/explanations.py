"""Why a model does not fit, with the numbers, and with what it would: pure."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inference.capacity.load_plan import load_plan
from llm_manager.lib.units import human_bytes
from registry.load_settings import conflicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from inference.capacity.load_plan import LoadPlan, LoadRequest
    from inference.capacity.machine import Machine
    from inference.capacity.memory_estimate import DeviceMemory

#: Types to try instead of a larger one, the better first.
_SMALLER_TYPES = ("q8_0", "q4_0")
#: Contexts that are suggested are multiples of this.
_CTX_STEP = 512


def least_plan(request: LoadRequest, machine: Machine) -> LoadPlan:
    """Return how the model is loaded with the least memory its settings allow."""
    return load_plan(request, machine, kv_budget=0)


def refusal(
    request: LoadRequest,
    machine: Machine,
    limits: tuple[int, ...],
    taken: Mapping[str, tuple[int, ...]] | None = None,
) -> str:
    """Return why the model is not loaded: needs, has, taken by whom, what would fit.

    ``limits`` are the bytes that all models may take, the host's first; ``taken``
    what stays loaded, by model.
    """
    plan = least_plan(request, machine)
    stays = taken or {}
    free = tuple(
        limit - sum(each[device] for each in stays.values())
        for device, limit in enumerate(limits)
    )
    sentences = [
        _shortage(device, plan, limits[device], stays, machine)
        for device, need in enumerate(plan.needs())
        if need > free[device]
    ]
    found = list(alternatives(request, machine, free))
    sentences.append(
        f"It fits {_either(found)}."
        if found
        else "No shorter context, fewer sequences or smaller KV type makes it fit."
    )
    return " ".join(sentences)


def _shortage(
    device: int,
    plan: LoadPlan,
    limit: int,
    stays: Mapping[str, tuple[int, ...]],
    machine: Machine,
) -> str:
    memory = (plan.estimate.host, *plan.estimate.gpus)[device]
    where = "here" if device == 0 else f"on {machine.gpus[device - 1].name}"
    key = " (engine.memory_mb)" if device == 0 else ""
    said = (
        f"It needs {human_bytes(memory.total)} {where} ({breakdown(memory)}); all "
        f"models together may take {human_bytes(limit)}{key}"
    )
    held = [
        f"{name} {human_bytes(each[device])}"
        for name, each in stays.items()
        if each[device]
    ]
    return (
        f"{said}, of which pinned ones hold: {', '.join(held)}." if held else f"{said}."
    )


def breakdown(memory: DeviceMemory) -> str:
    """Return what a device's memory goes to: ``weights 4.4 GiB, KV cache 2.0 GiB``."""
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


def alternatives(
    request: LoadRequest, machine: Machine, free: tuple[int, ...]
) -> Iterator[str]:
    """Yield each single change with which the model fits into free memory, in words."""

    def fits(**changes: Any) -> bool:
        """Return whether the model fits with these settings or wishes changed."""
        wish = {k: v for k, v in changes.items() if k in ("n_ctx", "n_seq_max")}
        own = {k: v for k, v in changes.items() if k != "n_ctx"}
        changed = replace(
            request,
            wish=replace(request.wish, **wish),
            settings=request.settings.model_copy(update=own),
        )
        if any(conflicts(changed.settings, changed.shape)):
            return False
        return least_plan(changed, machine).fits(free)

    engine = least_plan(request, machine).engine
    n_ctx = most_that(
        range(_CTX_STEP, engine.n_ctx, _CTX_STEP), lambda n: fits(n_ctx=n)
    )
    if n_ctx:
        yield f"with a context of {n_ctx:,}"
    n_seq_max = most_that(range(1, engine.n_seq_max), lambda n: fits(n_seq_max=n))
    if n_seq_max:
        yield f"with {n_seq_max} sequence{'' if n_seq_max == 1 else 's'}"
    for kind in _SMALLER_TYPES:
        if fits(cache_type_k=kind, cache_type_v=kind):
            yield f"with K and V as {kind}"
            break
    if machine.gpus:
        # Fewer layers there are more here, so that every number has to be tried.
        counts = range(len(request.shape.blocks), -1, -1)
        layers = next((count for count in counts if fits(n_gpu_layers=count)), None)
        if layers is not None:
            yield f"with {layers} layers on GPUs"


def most_that(numbers: range, fits: Callable[[int], bool]) -> int | None:
    """Return the largest of the numbers that fits, where what is less fits as well."""
    count = bisect_left(numbers, 1, key=lambda number: int(not fits(number)))
    return numbers[count - 1] if count else None


def _either(changes: Sequence[str]) -> str:
    """Return changes as a choice: ``with a, with b or with c``."""
    *first, last = changes
    return f"{', '.join(first)} or {last}" if first else last
