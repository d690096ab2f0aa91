"""LoRA adapters: the files that are loaded with a model, and those of a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

#: Adapters that a sequence runs under: names and scales, by name; no scale is 0.
Adapters = tuple[tuple[str, float], ...]


class AdapterNotLoaded(EngineError):
    """A request names an adapter that the worker has not loaded (any more)."""

    code = "adapter_not_loaded"


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter that is loaded with a model; ``size`` is in bytes."""

    name: str
    path: str
    fingerprint: str
    size: int


def adapter_set(chosen: Iterable[tuple[str, float]]) -> Adapters:
    """Return the chosen adapters in their one canonical form."""
    return tuple(sorted((name, scale) for name, scale in chosen if scale))


def check_loaded(adapters: Adapters, loaded: Collection[str]) -> None:
    """Raise AdapterNotLoaded if one of the adapters is not loaded."""
    for name, _ in adapters:
        if name not in loaded:
            raise AdapterNotLoaded(
                f"The adapter '{name}' is not loaded with the model yet, or no longer."
            )
