"""What vLLM and llama-server export and the product does not have by another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.sequence import FinishReason
from inference.metrics.metric_type import WorkerMetric, finished, prefill_tokens

if TYPE_CHECKING:
    from inference.engine.telemetry import Snapshot

#: vLLM's names of reasons, where they differ from ours.
_VLLM_REASONS: dict[str, str] = {
    FinishReason.ABORTED: "abort",
    FinishReason.FAILED: "error",
}


def _sum(seen: Snapshot, key: str) -> float | None:
    histogram = seen["histograms"].get(key)
    return None if histogram is None else histogram["sum"]


def _ratio(above: float | None, below: float | None) -> float | None:
    """Return a mean; like llama-server, 0 before there is anything to divide by."""
    if above is None or below is None:
        return None
    return above / below if below else 0.0


COMPATIBLE_METRICS = (
    WorkerMetric(
        "vllm:request_success_total",
        "counter",
        "Sequences that have ended, by reason.",
        lambda _, seen: finished(seen, _VLLM_REASONS),
        label="finished_reason",
    ),
    WorkerMetric(
        "llamacpp:tokens_predicted_seconds_total",
        "counter",
        "Sum over all sequences of the time from first to last token.",
        lambda _, seen: _sum(seen, "decode_seconds"),
    ),
    WorkerMetric(
        "llamacpp:prompt_tokens_seconds",
        "gauge",
        "Mean prompt tokens per second in steps with prefill, since the load.",
        lambda _, seen: _ratio(
            prefill_tokens(seen), seen["counters"].get("prefill_step_seconds")
        ),
    ),
    WorkerMetric(
        "llamacpp:predicted_tokens_seconds",
        "gauge",
        "Mean output tokens per second of a sequence, since the load.",
        lambda _, seen: _ratio(
            _sum(seen, "request_output_tokens"), _sum(seen, "decode_seconds")
        ),
    ),
    WorkerMetric(
        "llamacpp:n_busy_slots_per_decode",
        "gauge",
        "Mean number of sequences in a step, since the load.",
        lambda _, seen: _ratio(
            _sum(seen, "step_sequences"), seen["counters"].get("steps")
        ),
    ),
)
