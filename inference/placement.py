"""Which loaded models must go so that another fits: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded model: its memory in bytes, when it was last used, what it runs.

    ``last_used`` is any clock that grows; ``is_leaving`` says that it drains
    already, ``is_fresh`` that it has not had the time to serve what it was
    loaded for: it stays, or models in turn would be loaded and never serve.
    """

    key: int
    memory: int
    last_used: float
    running: int
    is_leaving: bool = False
    is_fresh: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """``fits_now``, or what must be drained first; ``refusal`` if nothing helps."""

    fits_now: bool
    evict: tuple[int, ...] = ()
    refusal: str = ""


def place(
    *, needed: int, memory_limit: int, max_models: int, loaded: Sequence[Loaded]
) -> Placement:
    """Decide how a model of ``needed`` bytes gets room beside the loaded ones.

    Idle models go first, then the least recently used. What drains already
    makes room by itself, so no more is evicted than is still needed.
    """
    if needed > memory_limit:
        return Placement(
            fits_now=False,
            refusal=(
                f"It needs {_gib(needed)}, but all models together may take "
                f"{_gib(memory_limit)} here (engine.memory_mb). A shorter context or "
                "fewer sequences need less."
            ),
        )
    memory = sum(model.memory for model in loaded)
    count = len(loaded)
    if memory + needed <= memory_limit and count < max_models:
        return Placement(fits_now=True)
    staying = [model for model in loaded if not model.is_leaving]
    memory = sum(model.memory for model in staying)
    count = len(staying)
    evict = []
    candidates = [model for model in staying if not model.is_fresh]
    for model in sorted(candidates, key=lambda m: (m.running > 0, m.last_used)):
        if memory + needed <= memory_limit and count < max_models:
            break
        evict.append(model.key)
        memory -= model.memory
        count -= 1
    return Placement(fits_now=False, evict=tuple(evict))


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
