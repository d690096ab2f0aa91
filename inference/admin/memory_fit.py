"""Whether a model fits into a machine's memory, shown before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inference.capacity.explanations import breakdown, explain_shortage, least_plan
from inference.capacity.load_plan import plan_within
from inference.capacity.machine import Machine
from inference.capacity.model_rows import InvalidSettings, load_spec
from llm_manager.lib.units import human_bytes

if TYPE_CHECKING:
    from inference.capacity.load_plan import LoadPlan
    from inference.models import EngineNode
    from llm_manager.lib.badges import Tone
    from registry.models import Model

#: A model that takes more of the limit than this is shown as tight: little else fits
#: beside it. The figure is a choice.
_TIGHT = 0.8


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a model fits, in words for the admin.

    ``detail`` has the numbers, ``context`` how the model would be loaded.
    """

    verdict: str
    tone: Tone
    detail: str
    context: str = ""


def fit(model: Model, node: EngineNode | None) -> Fit:
    """Return whether a model fits on a node on which nothing else is loaded.

    The engine decides with the same estimate.
    """
    if model.why_not_served:
        return Fit("", "", model.why_not_served)
    if model.is_generative and model.kv_elements_per_token is None:
        return Fit("unknown", "", "The file does not say how large its KV cache is.")
    try:
        spec = load_spec(model)
    except InvalidSettings as error:
        return Fit("cannot be loaded", "danger", str(error))
    if node is None:
        plan = least_plan(spec, Machine())
        return Fit(
            "unknown", "", f"{_needs(plan, least='at least ')}. No engine is running."
        )
    machine, limits = node.machine, node.limits
    spec = replace(spec, remote=node.lent_by(spec.settings.rpc_servers))
    best = plan_within(spec, machine, limits)
    if best is None:
        return Fit("does not fit", "danger", explain_shortage(spec, machine, limits))
    share = max(
        need / limit for need, limit in zip(best.needs(), limits, strict=True) if limit
    )
    detail = f"{_needs(best)} of {human_bytes(limits[0])}."
    if share > _TIGHT:
        return Fit("tight", "warning", detail, _context(best))
    return Fit("fits", "success", detail, _context(best))


def memory_of_all(model: Model, node: EngineNode | None) -> str:
    """Return what all replicas of a model take, in words; "" if that is not known.

    Replicas on one machine share the pages of the file that are mapped.
    """
    try:
        spec = load_spec(model)
        replicas: int = model.setting_in_force("replicas")
    except InvalidSettings:
        return ""
    machine = Machine() if node is None else node.machine
    if node is not None:
        spec = replace(spec, remote=node.lent_by(spec.settings.rpc_servers))
    plan = None if node is None else plan_within(spec, machine, node.limits)
    plan = plan or least_plan(spec, machine)
    taken = plan.estimate
    host = replicas * taken.host.total - (replicas - 1) * taken.mapped
    parts = [human_bytes(host)]
    gpus = replicas * sum(plan.needs()[1:])
    if gpus:
        parts.append(f"{human_bytes(gpus)} on GPUs")
    parts += [
        f"{human_bytes(need)} on the RPC server {device.server}"
        for device, need in plan.remote_needs
    ]
    if replicas > 1:
        parts.append(f"{replicas} replicas")
    return ", ".join(parts)


def _needs(plan: LoadPlan, *, least: str = "") -> str:
    taken = plan.estimate
    host = f"Needs {least}{human_bytes(taken.host.total)} ({breakdown(taken.host)})"
    gpus = [
        f"{human_bytes(gpu.total)} on {where} ({breakdown(gpu)})"
        for gpu, where in zip(taken.gpus, _places(plan), strict=True)
        if gpu.total
    ]
    return ", ".join([host, *gpus])


def _places(plan: LoadPlan) -> list[str]:
    """Return the names of the GPUs, then of the RPC servers' devices."""
    gpus = [f"GPU {number}" for number, _ in enumerate(plan.needs()[1:])]
    return gpus + [f"the RPC server {device.server}" for device in plan.remote]


def _context(plan: LoadPlan) -> str:
    engine = plan.engine
    grows = f", up to {engine.n_ctx_max:,}" if engine.n_ctx_max > engine.n_ctx else ""
    if engine.kv_layout == "unified":
        return (
            f"{engine.n_seq_max} sequences share {engine.n_cells:,} tokens, "
            f"{engine.n_ctx:,} at most each"
        )
    return f"{engine.n_seq_max} sequences of {engine.n_ctx:,} tokens{grows}"
