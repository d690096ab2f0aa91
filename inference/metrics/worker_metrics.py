"""Every metric of the workers, as data: its names, its meaning, where it is read.

A new measurement of the engine is a key in ``inference.engine.telemetry`` and a
line here. What the web processes count themselves is in
``inference.metrics.worker_collector``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from inference.capacity.model_rows import kv_cache_bytes
from inference.engine.sequence import FinishReason
from inference.engine.telemetry import HistogramData, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inference.models import Worker

    Value = float | list[tuple[str, float]] | HistogramData | None

#: Stands in for the measurements of a worker of which there are none.
NO_TELEMETRY = Snapshot(counters={}, gauges={}, finished={}, histograms={})

#: Our reasons in vLLM's words.
_VLLM_REASONS: dict[str, str] = {
    FinishReason.ABORTED: "abort",
    FinishReason.FAILED: "error",
}


@dataclass(frozen=True, slots=True)
class Metric:
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


def _gauge(
    name: str, text: str, read: Callable[[Worker], float | None], *aliases: str
) -> Metric:
    """Return a metric that is read from the worker's row."""
    return Metric(name, "gauge", text, lambda worker, _: read(worker), aliases)


def _counter(key: str, text: str, *aliases: str) -> Metric:
    name = f"llm_engine_{key}_total"
    return Metric(
        name, "counter", text, lambda _, seen: seen["counters"].get(key), aliases
    )


def _histogram(key: str, text: str, *aliases: str) -> Metric:
    name = f"llm_engine_{key}"
    return Metric(
        name, "histogram", text, lambda _, seen: seen["histograms"].get(key), aliases
    )


def _context_bytes(worker: Worker) -> float | None:
    if worker.model.kv_elements_per_token is None:
        return None
    return kv_cache_bytes(
        worker.model,
        n_cells=worker.kv_cells_total,
        n_seq_max=worker.n_seq_max or 1,
        kv_layout=worker.kv_layout,
    )


def _kv_usage(worker: Worker) -> float | None:
    total = worker.kv_cells_total
    return worker.kv_cells_used / total if total else None


def _prefill_tokens(seen: Snapshot) -> float | None:
    counters = seen["counters"]
    if not {"prompt_tokens", "cached_prompt_tokens"} <= counters.keys():
        return None
    return counters["prompt_tokens"] - counters["cached_prompt_tokens"]


def _sum(seen: Snapshot, key: str) -> float | None:
    histogram = seen["histograms"].get(key)
    return None if histogram is None else histogram["sum"]


def _ratio(above: float | None, below: float | None) -> float | None:
    """Return a mean, 0 before there is anything to take it of, as llama-server."""
    if above is None or below is None:
        return None
    return above / below if below else 0.0


def _finished(seen: Snapshot, words: Mapping[str, str]) -> list[tuple[str, float]]:
    """Return how many sequences ended for which reason, in other words for it."""
    return [(words.get(reason, reason), n) for reason, n in seen["finished"].items()]


_ROW = (
    _gauge(
        "llm_model_load_duration_seconds",
        "Time that loading the model took.",
        lambda worker: worker.load_seconds,
    ),
    _gauge("llm_model_memory_bytes", "Resident memory.", lambda w: w.memory_bytes),
    _gauge("llm_context_size_bytes", "Memory of the KV cache.", _context_bytes),
    Metric(
        "llm_context_size_tokens",
        "gauge",
        "Context of one sequence, in force.",
        lambda worker, seen: seen["gauges"].get("n_ctx", worker.n_ctx),
    ),
    _gauge(
        "llm_requests_running",
        "Sequences that run.",
        lambda worker: worker.running,
        "vllm:num_requests_running",
        "llamacpp:requests_processing",
    ),
    _gauge(
        "llm_requests_waiting",
        "Sequences that wait, here and in the model's queue.",
        lambda worker: worker.waiting,
        "vllm:num_requests_waiting",
        "llamacpp:requests_deferred",
    ),
    _gauge("llm_kv_cells_used", "KV cells in use.", lambda w: w.kv_cells_used),
    _gauge("llm_kv_cells", "KV cells that there are.", lambda w: w.kv_cells_total),
    _gauge(
        "llm_kv_usage_ratio",
        "KV cells in use, of all, 0 to 1.",
        _kv_usage,
        "vllm:kv_cache_usage_perc",
    ),
    Metric(
        "llm_worker_restarts_total",
        "counter",
        "Restarts after a crash, since the model was asked for.",
        lambda worker, _: worker.restarts,
    ),
)

_ENGINE = (
    Metric(
        "llm_engine_reporting",
        "gauge",
        "Whether the worker's own measurements, all those below, are known: 0 while "
        "Redis is away.",
        lambda _, seen: float(seen is not NO_TELEMETRY),
    ),
    Metric(
        "llm_context_max_tokens",
        "gauge",
        "The most that the context of one sequence grows to.",
        lambda _, seen: seen["gauges"].get("n_ctx_max"),
    ),
    Metric(
        "llm_engine_longest_sequence_tokens",
        "gauge",
        "Prompt and output of the longest sequence that has ended.",
        lambda _, seen: seen["gauges"].get("longest_sequence"),
        ("llamacpp:n_tokens_max",),
    ),
    _histogram(
        "time_to_first_token_seconds",
        "Time from a sequence's arrival in the worker to its first token.",
        "vllm:time_to_first_token_seconds",
    ),
    _histogram(
        "inter_token_latency_seconds",
        "Time between two tokens of a sequence.",
        "vllm:inter_token_latency_seconds",
    ),
    _histogram(
        "time_per_output_token_seconds",
        "Mean time between the tokens of one sequence.",
        "vllm:request_time_per_output_token_seconds",
    ),
    _histogram(
        "queue_seconds",
        "Time from a sequence's arrival in the worker to its slot.",
        "vllm:request_queue_time_seconds",
    ),
    _histogram(
        "prefill_seconds",
        "Time from a sequence's slot to its first token.",
        "vllm:request_prefill_time_seconds",
    ),
    _histogram(
        "decode_seconds",
        "Time from a sequence's first token to its last.",
        "vllm:request_decode_time_seconds",
    ),
    _histogram(
        "request_seconds",
        "Time from a sequence's arrival in the worker to its end.",
        "vllm:e2e_request_latency_seconds",
    ),
    _histogram("step_seconds", "Time of a step of the engine."),
    _histogram(
        "step_tokens", "Tokens in the batch of a step.", "vllm:iteration_tokens_total"
    ),
    _histogram("step_sequences", "Sequences in the batch of a step."),
    _histogram(
        "request_prompt_tokens",
        "Tokens of a sequence's prompt.",
        "vllm:request_prompt_tokens",
    ),
    _histogram(
        "request_prefill_tokens",
        "Tokens of a sequence's prompt that had to be computed.",
        "vllm:request_prefill_kv_computed_tokens",
    ),
    _histogram(
        "request_output_tokens",
        "Tokens of a sequence's output.",
        "vllm:request_generation_tokens",
        "vllm:request_max_num_generation_tokens",
    ),
    _histogram(
        "request_max_tokens",
        "The limit of output tokens, of requests that set one.",
        "vllm:request_params_max_tokens",
    ),
    Metric(
        "llm_engine_finished_total",
        "counter",
        "Sequences that have ended, by the reason.",
        lambda _, seen: _finished(seen, {}),
        label="reason",
    ),
    _counter(
        "prompt_tokens",
        "Tokens of prompts of sequences that got a slot.",
        "vllm:prompt_tokens_total",
    ),
    _counter(
        "cached_prompt_tokens",
        "Tokens of prompts whose KV cells were there already: prefill saved.",
        "vllm:prompt_tokens_cached_total",
        "llamacpp:prompt_tokens_cached_total",
    ),
    Metric(
        "llm_engine_prefill_tokens_total",
        "counter",
        "Tokens of prompts that had to be computed.",
        lambda _, seen: _prefill_tokens(seen),
        ("llamacpp:prompt_tokens_total",),
    ),
    _counter(
        "output_tokens",
        "Tokens generated.",
        "vllm:generation_tokens_total",
        "llamacpp:tokens_predicted_total",
    ),
    _counter("steps", "Steps of the engine.", "llamacpp:n_decode_total"),
    _counter(
        "prefill_step_seconds",
        "Time of the steps that carried prefill.",
        "llamacpp:prompt_seconds_total",
    ),
    _counter(
        "prefix_cache_queries",
        "Tokens looked for in the prefix cache.",
        "vllm:prefix_cache_queries_total",
    ),
    _counter(
        "prefix_cache_hits",
        "Tokens found in the prefix cache.",
        "vllm:prefix_cache_hits_total",
    ),
    _counter(
        "preemptions",
        "Sequences that lost their cells and were recomputed later.",
        "vllm:num_preemptions_total",
    ),
    _counter("evictions", "Cached prefixes that made room."),
    _counter("evicted_cells", "KV cells of cached prefixes that made room."),
    _counter(
        "drafts",
        "Drafts proposed.",
        "vllm:spec_decode_num_drafts_total",
        "llamacpp:spec_decode_num_drafts_total",
    ),
    _counter(
        "draft_tokens",
        "Tokens of drafts.",
        "vllm:spec_decode_num_draft_tokens_total",
        "llamacpp:spec_decode_num_draft_tokens_total",
    ),
    _counter(
        "accepted_draft_tokens",
        "Tokens of drafts that the model agreed with.",
        "vllm:spec_decode_num_accepted_tokens_total",
        "llamacpp:spec_decode_num_accepted_tokens_total",
    ),
    _counter("stored_prefix_hits", "Prefixes that came from disk."),
    _counter("stored_prefix_tokens", "Prompt tokens that disk saved computing."),
    _counter("stored_prefix_read_bytes", "KV state read from disk."),
    _counter("stored_prefix_written_bytes", "KV state written to disk."),
    _counter("context_resizes", "Contexts made anew, larger."),
)

METRICS = _ROW + _ENGINE

#: What other servers export and is no metric of ours by another name.
COMPATIBLE = (
    Metric(
        "vllm:request_success_total",
        "counter",
        "Sequences that have ended, by the reason.",
        lambda _, seen: _finished(seen, _VLLM_REASONS),
        label="finished_reason",
    ),
    Metric(
        "llamacpp:tokens_predicted_seconds_total",
        "counter",
        "Time from first tokens to last ones, of all sequences together.",
        lambda _, seen: _sum(seen, "decode_seconds"),
    ),
    Metric(
        "llamacpp:prompt_tokens_seconds",
        "gauge",
        "Mean prompt tokens a second, in steps with prefill, since the load.",
        lambda _, seen: _ratio(
            _prefill_tokens(seen), seen["counters"].get("prefill_step_seconds")
        ),
    ),
    Metric(
        "llamacpp:predicted_tokens_seconds",
        "gauge",
        "Mean output tokens a second of a sequence, since the load.",
        lambda _, seen: _ratio(
            _sum(seen, "request_output_tokens"), _sum(seen, "decode_seconds")
        ),
    ),
    Metric(
        "llamacpp:n_busy_slots_per_decode",
        "gauge",
        "Mean sequences in a step, since the load.",
        lambda _, seen: _ratio(
            _sum(seen, "step_sequences"), seen["counters"].get("steps")
        ),
    ),
)
