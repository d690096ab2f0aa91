"""Whether a model fits into a machine's memory, said before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.worker_rows import load_plan
from registry.models import Kind, Model
from registry.units import human_bytes

if TYPE_CHECKING:
    from registry.badges import Tone

#: Above this share of the limit, no other model of any size fits beside it.
_TIGHT = 0.8


@dataclass(frozen=True, slots=True)
class Fit:
    """A verdict for people, and the numbers behind it."""

    verdict: str
    tone: Tone
    detail: str


def fit(model: Model, limit: int | None) -> Fit:
    """Return whether a model fits under a machine's limit, in bytes.

    By the engine's own reckoning, so what does not fit here is refused there.
    """
    if model.kind in (Kind.PROJECTOR, Kind.LORA):
        return Fit("", "", "It is loaded together with another model.")
    if model.is_generative and model.kv_elements_per_token is None:
        return Fit("unknown", "", "The file does not tell the size of its KV cache.")
    needed = load_plan(model).memory
    if not limit:
        return Fit("unknown", "", f"Needs {human_bytes(needed)}; no engine runs.")
    detail = f"Needs {human_bytes(needed)} of {human_bytes(limit)}"
    if needed > limit:
        return Fit("does not fit", "danger", detail)
    if needed > limit * _TIGHT:
        return Fit("tight", "warning", detail)
    return Fit("fits", "success", detail)
