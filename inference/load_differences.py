"""Which load settings of a model differ between what runs and what is saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.load_settings import LIVE_SETTINGS, SETTINGS, listed
from registry.model_facts import projector_in_force
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.models import Worker

#: Columns whose empty value means "as it fits", not a value of the configuration.
_AUTOMATIC = ("n_ctx", "n_seq_max")
_LOAD_TIME = tuple(
    name for name in SETTINGS if name not in {*LIVE_SETTINGS, *_AUTOMATIC}
)


@dataclass(frozen=True, slots=True)
class LoadDifference:
    """A load setting whose saved value is not the one that a worker runs with."""

    name: str
    label: str
    in_force: str
    saved: str

    def __str__(self) -> str:
        return f"{self.label} in force: {self.in_force}, saved: {self.saved}"


def load_time_settings(model: Model) -> dict[str, Any]:
    """Return the settings of a model that only a load puts in force, as JSON values.

    Raises ValueError if ``tensor_split`` cannot be read.
    """
    in_force = model.settings_in_force()
    values = {name: _plain(getattr(in_force, name)) for name in _LOAD_TIME}
    values |= {name: getattr(model, name) for name in _AUTOMATIC}
    is_drafted = values["draft"] == "model" and model.draft_model is not None
    values["draft_model"] = str(model.draft_model) if is_drafted else ""
    projector = projector_in_force(model)
    values["projector"] = str(projector) if projector else ""
    return values


def load_differences(worker: Worker, model: Model) -> list[LoadDifference]:
    """Return the settings that a reload of a worker would change, by their labels.

    ``model`` has the saved settings, or those that are about to be saved.
    """
    if not worker.loaded_settings:
        return []
    saved = load_time_settings(model)
    return [
        LoadDifference(
            name=name,
            label=_label(name),
            in_force=_in_force(worker, name),
            saved=_text(saved[name]),
        )
        for name in saved
        if worker.loaded_settings.get(name, saved[name]) != saved[name]
    ]


def reload_differences(workers: Iterable[Worker], model: Model) -> list[LoadDifference]:
    """Return the settings that a reload of any worker would change, each once."""
    found = {
        each.name: each
        for worker in workers
        if worker.is_desired
        for each in load_differences(worker, model)
    }
    return list(found.values())


def _label(name: str) -> str:
    return str(getattr(Model._meta.get_field(name), "verbose_name", name))


def _in_force(worker: Worker, name: str) -> str:
    value = worker.loaded_settings[name]
    if value is None:
        # The number that was chosen by what fits.
        value = getattr(worker, name)
    return _text(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    if value is None or value in ("", []):
        return "automatic"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(listed, value))
    return str(value)
