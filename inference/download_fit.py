"""Whether a model that is not here yet would fit into a machine, by its size alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from inference.models import EngineNode

if TYPE_CHECKING:
    from collections.abc import Sequence

Fitting = Literal["gpu", "fits", "tight", "too_large", "unknown"]

#: What a loaded model needs beside its weights, as a share of them: a small context and
#: compute buffers. A rough choice; the exact estimate needs the file's header.
_BESIDE = 0.1
#: A model that takes more of the limit than this leaves little to others. A choice.
_TIGHT = 0.8


def largest_limits() -> tuple[int, ...]:
    """Return what models may take on the largest machine that runs, by device.

    The host comes first; empty if no engine runs.
    """
    nodes = [node.limits for node in EngineNode.objects.alive()]
    return max(nodes, key=sum, default=())


def fitting(size: int | None, limits: Sequence[int]) -> Fitting:
    """Return how a model of so many bytes fits.

    ``gpu``: into the memory of GPUs; ``fits`` and ``tight``: into all memory.
    """
    if not size or not limits:
        return "unknown"
    needed = size * (1 + _BESIDE)
    if needed <= sum(limits[1:]):
        return "gpu"
    if needed > sum(limits):
        return "too_large"
    return "tight" if needed > _TIGHT * sum(limits) else "fits"
