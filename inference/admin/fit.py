"""Whether a model fits into a machine's memory, said before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.capacity.explanations import breakdown, least_plan, refusal
from inference.capacity.load_plan import InvalidSettings, load_request, plan_within
from inference.capacity.machine import Machine
from llm_manager.lib.units import human_bytes
from registry.models import Kind, Model

if TYPE_CHECKING:
    from inference.capacity.load_plan import LoadPlan
    from inference.models import EngineNode
    from llm_manager.lib.badges import Tone

#: Above this share of the limit, no other model of any size fits beside it.
_TIGHT = 0.8


@dataclass(frozen=True, slots=True)
class Fit:
    """A verdict for people, and the numbers behind it.

    ``context`` says how the model would be loaded.
    """

    verdict: str
    tone: Tone
    detail: str
    context: str = ""


def fit(model: Model, node: EngineNode | None) -> Fit:
    """Return whether a model fits into a machine, were nothing else loaded there.

    By the engine's own reckoning, so what does not fit here is refused there.
    """
    if model.kind in (Kind.PROJECTOR, Kind.LORA):
        return Fit("", "", "It is loaded together with another model.")
    if model.is_generative and model.kv_elements_per_token is None:
        return Fit("unknown", "", "The file does not tell the size of its KV cache.")
    try:
        request = load_request(model)
    except InvalidSettings as error:
        return Fit("cannot be loaded", "danger", str(error))
    if node is None:
        plan = least_plan(request, Machine())
        return Fit("unknown", "", f"{_needs(plan)}, at the least; no engine runs.")
    machine, limits = node.machine, node.limits
    best = plan_within(request, machine, limits)
    if best is None:
        return Fit("does not fit", "danger", refusal(request, machine, limits))
    share = max(
        need / limit for need, limit in zip(best.needs(), limits, strict=True) if limit
    )
    detail = f"{_needs(best)} of {human_bytes(limits[0])}."
    if share > _TIGHT:
        return Fit("tight", "warning", detail, _context(best))
    return Fit("fits", "success", detail, _context(best))


def _needs(plan: LoadPlan) -> str:
    taken = plan.estimate
    said = f"Needs {human_bytes(taken.host.total)} ({breakdown(taken.host)})"
    gpus = [
        f"{human_bytes(gpu.total)} on GPU {number} ({breakdown(gpu)})"
        for number, gpu in enumerate(taken.gpus)
        if gpu.total
    ]
    return ", ".join([said, *gpus])


def _context(plan: LoadPlan) -> str:
    engine = plan.engine
    grows = f", up to {engine.n_ctx_max:,}" if engine.n_ctx_max > engine.n_ctx else ""
    if engine.kv_layout == "unified":
        return (
            f"{engine.n_seq_max} sequences share {engine.n_cells:,} tokens, "
            f"{engine.n_ctx:,} at most each"
        )
    return f"{engine.n_seq_max} sequences of {engine.n_ctx:,} tokens{grows}"
