"""What a metric of a worker is: its names, its meaning, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from inference.engine.telemetry import HistogramData, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inference.models import Worker

    Value = float | list[tuple[str, float]] | HistogramData | None

#: Stands for the measurements of a worker that has reported none.
NO_TELEMETRY = Snapshot(counters={}, gauges={}, finished={}, histograms={})


@dataclass(frozen=True, slots=True)
class WorkerMetric:
    """One metric of a worker.

    ``read`` takes it from the worker's row and its telemetry; None is no sample.
    With a further ``label`` it returns pairs of that label and a number.
    ``aliases`` are the names under which vLLM and llama-server export the same. A
    counter's name ends in ``_total``.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    read: Callable[[Worker, Snapshot], Value]
    aliases: tuple[str, ...] = ()
    label: str = ""

    def labels(self, name: str) -> tuple[str, ...]:
        """Return the labels under one of the metric's names."""
        is_vllm = name.startswith("vllm:")
        own = ("model_name", "engine") if is_vllm else ("model", "replica")
        return (*own, self.label) if self.label else own


def prefill_tokens(seen: Snapshot) -> float | None:
    """Return the prompt tokens that were computed, not found in the prefix cache."""
    counters = seen["counters"]
    if not {"prompt_tokens", "cached_prompt_tokens"} <= counters.keys():
        return None
    return counters["prompt_tokens"] - counters["cached_prompt_tokens"]


def finished(seen: Snapshot, names: Mapping[str, str]) -> list[tuple[str, float]]:
    """Return how many sequences ended by reason, some of them under other names."""
    return [(names.get(reason, reason), n) for reason, n in seen["finished"].items()]
