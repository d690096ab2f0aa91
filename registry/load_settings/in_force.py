"""Which value of a setting is in force: the model's own, or the configuration's."""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args, get_origin

from registry.load_settings.sections import (
    GpuSection,
    LoadSettings,
    ModelEngineSection,
)
from registry.load_settings.values import as_servers, as_shares

#: The section of the configuration that holds each setting's default.
_SECTIONS = {
    **dict.fromkeys(GpuSection.model_fields, "gpu"),
    **dict.fromkeys(ModelEngineSection.model_fields, "engine"),
}
SETTINGS = tuple(_SECTIONS)
#: Those that hold as soon as they are saved; a loaded model keeps its others.
LIVE_SETTINGS = frozenset(
    {
        *("replicas", "keep_alive", "is_pinned", "is_preloaded"),
        *("replicas_max", "placement", "node_labels"),
    }
)


class Configuration(Protocol):
    """The part of the configuration that is read here."""

    @property
    def gpu(self) -> GpuSection: ...

    @property
    def engine(self) -> ModelEngineSection: ...


def listed(item: float | str) -> str:
    """Return an item of a setting that is a list, as text."""
    return item if isinstance(item, str) else f"{item:g}"


def config_key(setting: str) -> str:
    """Return the configuration key of a setting: ``engine.pinned`` of ``is_pinned``."""
    alias = LoadSettings.model_fields[setting].validation_alias
    return f"{_SECTIONS[setting]}.{alias or setting}"


def choices_of(setting: str) -> tuple[str, ...]:
    """Return the values that a setting can have; empty if they are not listed."""
    annotation = LoadSettings.model_fields[setting].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def bounds_of(setting: str) -> tuple[int | None, int | None]:
    """Return a setting's least and largest value."""
    least = largest = None
    for bound in LoadSettings.model_fields[setting].metadata:
        least = getattr(bound, "ge", least)
        largest = getattr(bound, "le", largest)
    return least, largest


def default_of(setting: str, config: Configuration) -> Any:
    """Return the configuration's value of a setting."""
    return getattr(getattr(config, _SECTIONS[setting]), setting)


def setting_in_force(setting: str, config: Configuration, model: object = None) -> Any:
    """Return a model's own setting, the configuration's if it is empty."""
    own = getattr(model, setting, None)
    return default_of(setting, config) if own is None or own == "" else own


def settings_in_force(config: Configuration, model: object = None) -> LoadSettings:
    """Return the settings of a model, or of one that leaves every setting empty.

    Raises ValueError if the model's ``tensor_split`` or ``rpc_servers`` cannot be read.
    """
    values = {name: setting_in_force(name, config, model) for name in SETTINGS}
    values["tensor_split"] = as_shares(values["tensor_split"])
    values["rpc_servers"] = as_servers(values["rpc_servers"])
    # Not validated again: the columns have validators with the same bounds.
    return LoadSettings.model_construct(**values)
