"""The last loads on a model's page: who asked, how they ended, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.admin.model_panels.settings_text import settings_text
from inference.loads.advice import load_advice
from inference.models import ModelLoad

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.models import Worker
    from llm_manager.lib.badges import Tone
    from registry.models import Model

_SHOWN = 10
_Result = ModelLoad.Result
_TONES: dict[str, Tone] = {
    _Result.LOADING: "info",
    _Result.LOADED: "success",
    _Result.FAILED: "danger",
    _Result.STOPPED: "",
    _Result.INTERRUPTED: "warning",
}


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """A load as the page shows it."""

    load: ModelLoad
    label: str
    tone: Tone
    settings: str
    advice: str


def loads_panel(model: Model, workers: Iterable[Worker]) -> dict[str, Any]:
    """Return the model's last loads, the newest first, for the template. One query."""
    alive = {worker.incarnation for worker in workers}
    return {"loads": [_view(load, alive) for load in model.loads.all()[:_SHOWN]]}


def _view(load: ModelLoad, alive: set[str]) -> LoadSummary:
    result = load.result
    if result == _Result.LOADING and load.incarnation not in alive:
        # Its node has not lived to say how it ended.
        result = _Result.INTERRUPTED
    return LoadSummary(
        load=load,
        label=_Result(result).label,
        tone=_TONES[result],
        settings=settings_text(
            load.settings, n_ctx=load.n_ctx, n_seq_max=load.n_seq_max
        ),
        advice=load_advice(load.error, model=load.model.name),
    )
