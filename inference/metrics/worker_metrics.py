"""Every metric of the workers, as data.

A new measurement of the engine is a key in ``inference.engine.telemetry`` and a line
here. What the web processes count is in ``inference.metrics.request_metrics``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.capacity.model_rows import kv_cache_bytes
from inference.metrics.metric_type import (
    NO_TELEMETRY,
    WorkerMetric,
    finished,
    prefill_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.models import Worker


def _gauge(
    name: str, text: str, read: Callable[[Worker], float | None], *aliases: str
) -> WorkerMetric:
    """Return a metric that is read from the worker's row."""
    return WorkerMetric(name, "gauge", text, lambda worker, _: read(worker), aliases)


def _counter(key: str, text: str, *aliases: str) -> WorkerMetric:
    name = f"llm_engine_{key}_total"
    return WorkerMetric(
        name, "counter", text, lambda _, seen: seen["counters"].get(key), aliases
    )


def _histogram(key: str, text: str, *aliases: str) -> WorkerMetric:
    name = f"llm_engine_{key}"
    return WorkerMetric(
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


_ROW = (
    _gauge(
        "llm_model_load_duration_seconds",
        "Time the last load of the model took.",
        lambda worker: worker.load_seconds,
    ),
    _gauge(
        "llm_model_memory_bytes",
        "Resident memory of the worker.",
        lambda w: w.memory_bytes,
    ),
    _gauge(
        "llm_context_size_bytes",
        "Memory of the KV cache when all its cells are in use.",
        _context_bytes,
    ),
    WorkerMetric(
        "llm_context_size_tokens",
        "gauge",
        "Context of one sequence, now.",
        lambda worker, seen: seen["gauges"].get("n_ctx", worker.n_ctx),
    ),
    _gauge(
        "llm_requests_running",
        "Sequences that have a slot.",
        lambda worker: worker.running,
        "vllm:num_requests_running",
        "llamacpp:requests_processing",
    ),
    _gauge(
        "llm_requests_waiting",
        "Sequences that wait, in the worker and in the model's queue.",
        lambda worker: worker.waiting,
        "vllm:num_requests_waiting",
        "llamacpp:requests_deferred",
    ),
    _gauge("llm_kv_cells_used", "KV cells in use.", lambda w: w.kv_cells_used),
    _gauge("llm_kv_cells", "KV cells, used or free.", lambda w: w.kv_cells_total),
    _gauge(
        "llm_kv_usage_ratio",
        "Share of the KV cells in use, 0 to 1.",
        _kv_usage,
        "vllm:kv_cache_usage_perc",
    ),
    WorkerMetric(
        "llm_worker_restarts_total",
        "counter",
        "Restarts after a crash since the load was requested.",
        lambda worker, _: worker.restarts,
    ),
)

_ENGINE = (
    WorkerMetric(
        "llm_engine_reporting",
        "gauge",
        "1 if the worker's own measurements, all those below, are known; 0 for example "
        "while Redis cannot be reached.",
        lambda _, seen: float(seen is not NO_TELEMETRY),
    ),
    WorkerMetric(
        "llm_context_max_tokens",
        "gauge",
        "Largest context that one sequence may grow to.",
        lambda _, seen: seen["gauges"].get("n_ctx_max"),
    ),
    WorkerMetric(
        "llm_engine_longest_sequence_tokens",
        "gauge",
        "Prompt and output tokens of the longest sequence that has ended.",
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
        "Mean time between the tokens of a sequence, one value for each sequence.",
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
    _histogram("step_seconds", "Time of a step."),
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
        "Tokens of a sequence's prompt that were computed, not cached.",
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
        "Limit of output tokens, for sequences whose request sets one.",
        "vllm:request_params_max_tokens",
    ),
    WorkerMetric(
        "llm_engine_finished_total",
        "counter",
        "Sequences that have ended, by reason.",
        lambda _, seen: finished(seen, {}),
        label="reason",
    ),
    _counter(
        "prompt_tokens",
        "Prompt tokens of sequences that got a slot.",
        "vllm:prompt_tokens_total",
    ),
    _counter(
        "cached_prompt_tokens",
        "Prompt tokens taken from the prefix cache instead of computed.",
        "vllm:prompt_tokens_cached_total",
        "llamacpp:prompt_tokens_cached_total",
    ),
    WorkerMetric(
        "llm_engine_prefill_tokens_total",
        "counter",
        "Prompt tokens that were computed.",
        lambda _, seen: prefill_tokens(seen),
        ("llamacpp:prompt_tokens_total",),
    ),
    _counter(
        "output_tokens",
        "Output tokens.",
        "vllm:generation_tokens_total",
        "llamacpp:tokens_predicted_total",
    ),
    _counter("steps", "Steps.", "llamacpp:n_decode_total"),
    _counter(
        "prefill_step_seconds",
        "Time of the steps with prefill.",
        "llamacpp:prompt_seconds_total",
    ),
    _counter(
        "prefix_cache_queries",
        "Prompt tokens looked up in the prefix cache.",
        "vllm:prefix_cache_queries_total",
    ),
    _counter(
        "prefix_cache_hits",
        "Prompt tokens found in the prefix cache.",
        "vllm:prefix_cache_hits_total",
    ),
    _counter(
        "preemptions",
        "Sequences that lost their KV cells to others and are computed again.",
        "vllm:num_preemptions_total",
    ),
    _counter(
        "wait_seconds",
        "Time in which no step began, because a key with little to compute was due.",
    ),
    _counter("evictions", "Prefixes evicted from the prefix cache."),
    _counter("evicted_cells", "KV cells freed by these evictions."),
    _counter(
        "drafts",
        "Drafts proposed.",
        "vllm:spec_decode_num_drafts_total",
        "llamacpp:spec_decode_num_drafts_total",
    ),
    _counter(
        "draft_tokens",
        "Tokens of these drafts.",
        "vllm:spec_decode_num_draft_tokens_total",
        "llamacpp:spec_decode_num_draft_tokens_total",
    ),
    _counter(
        "accepted_draft_tokens",
        "Draft tokens that the model accepted.",
        "vllm:spec_decode_num_accepted_tokens_total",
        "llamacpp:spec_decode_num_accepted_tokens_total",
    ),
    _counter("stored_prefix_hits", "Prefixes restored from disk."),
    _counter(
        "stored_prefix_tokens", "Prompt tokens restored from disk instead of computed."
    ),
    _counter("stored_prefix_read_bytes", "KV state read from disk."),
    _counter("stored_prefix_written_bytes", "KV state written to disk."),
    _counter("context_resizes", "Contexts replaced by a larger one."),
)

WORKER_METRICS = _ROW + _ENGINE
