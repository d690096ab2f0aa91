"""The engine's metrics: counters and histograms, as plain numbers.

The engine thread adds to a ``Telemetry``, any thread may take a ``snapshot`` of it, and
the web processes export that to Prometheus.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TypedDict

from inference.engine.sequence import FinishReason

# Upper bounds of buckets, inclusive. They include all of vLLM's, so that one dashboard
# reads both; the finer ones are for small models and short answers, which take only
# milliseconds even on a CPU.
_FIRST_TOKEN_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5),
    *(7.5, 10, 20, 40, 80, 160, 640, 2560),
)
_TOKEN_S = (
    *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2),
    *(0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80),
)
_REQUEST_S = (
    *(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10),
    *(15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680),
)
_STEP_S = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10),
)
_TOKENS = (
    *(digit * 10**power for power in range(6) for digit in (1, 2, 5)),
    1_000_000,
)
_STEP_TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_STEP_SEQUENCES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)

_BUCKETS: dict[str, tuple[float, ...]] = {
    "time_to_first_token_seconds": _FIRST_TOKEN_S,
    "inter_token_latency_seconds": _TOKEN_S,
    "time_per_output_token_seconds": _TOKEN_S,
    "queue_seconds": _REQUEST_S,
    "prefill_seconds": _REQUEST_S,
    "decode_seconds": _REQUEST_S,
    "request_seconds": _REQUEST_S,
    "step_seconds": _STEP_S,
    "step_tokens": _STEP_TOKENS,
    "step_sequences": _STEP_SEQUENCES,
    "request_prompt_tokens": _TOKENS,
    "request_prefill_tokens": _TOKENS,
    "request_output_tokens": _TOKENS,
    "request_max_tokens": _TOKENS,
}
_COUNTERS = (
    "steps",
    "prefill_step_seconds",
    "prompt_tokens",
    "cached_prompt_tokens",
    "output_tokens",
    "prefix_cache_queries",
    "prefix_cache_hits",
    "preemptions",
    "wait_seconds",
    "evictions",
    "evicted_cells",
    "drafts",
    "draft_tokens",
    "accepted_draft_tokens",
    "context_resizes",
    "stored_prefix_hits",
    "stored_prefix_tokens",
    "stored_prefix_read_bytes",
    "stored_prefix_written_bytes",
)


class HistogramData(TypedDict):
    """A histogram as JSON, with its bounds.

    ``counts`` has one entry per bucket, not cumulative; the additional last one is for
    values above all ``bounds``.
    """

    bounds: list[float]
    counts: list[int]
    sum: float


class Snapshot(TypedDict):
    """Everything that a ``Telemetry`` has measured, as JSON.

    ``finished`` counts sequences by finish reason.
    """

    counters: dict[str, float]
    gauges: dict[str, int]
    finished: dict[str, int]
    histograms: dict[str, HistogramData]


class Histogram:
    """Counts values in buckets."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count a value, ``count`` times."""
        self._counts[bisect_left(self._bounds, value)] += count
        self._sum += value * count

    def data(self) -> HistogramData:
        """Return the histogram as plain data."""
        return {
            "bounds": list(self._bounds),
            "counts": list(self._counts),
            "sum": self._sum,
        }


class Telemetry:
    """The engine's metrics since the model was loaded; counts never decrease.

    Only the engine thread writes. There is no lock: in a snapshot that another thread
    takes during a step, one number may be an observation ahead of another.
    """

    def __init__(self, *, n_ctx: int = 0, n_ctx_max: int = 0) -> None:
        self._counters: dict[str, float] = dict.fromkeys(_COUNTERS, 0)
        self._gauges = {"n_ctx": n_ctx, "n_ctx_max": n_ctx_max, "longest_sequence": 0}
        self._finished = {str(reason): 0 for reason in FinishReason}
        self._histograms = {key: Histogram(bounds) for key, bounds in _BUCKETS.items()}

    def step(
        self, *, seconds: float, num_decodes: int, num_prefill: int, batch_tokens: int
    ) -> None:
        """Count a step with this many sequences that decode and that prefill."""
        self._counters["steps"] += 1
        if num_prefill > 0:
            self._counters["prefill_step_seconds"] += seconds
        self._histograms["step_seconds"].observe(seconds)
        self._histograms["step_tokens"].observe(batch_tokens)
        self._histograms["step_sequences"].observe(num_decodes + num_prefill)

    def started(
        self, *, queued_s: float, prompt_tokens: int, cached_tokens: int
    ) -> None:
        """Count a sequence that got its first slot, not one after a preemption.

        ``cached_tokens`` of its prompt had their KV cells already.
        """
        self._counters["prompt_tokens"] += prompt_tokens
        self._counters["cached_prompt_tokens"] += cached_tokens
        self._histograms["queue_seconds"].observe(queued_s)
        self._histograms["request_prefill_tokens"].observe(
            prompt_tokens - cached_tokens
        )

    def first_token(self, *, ttft_s: float, prefill_s: float) -> None:
        """Count a first token, with the seconds since arrival and since the slot."""
        self._counters["output_tokens"] += 1
        self._histograms["time_to_first_token_seconds"].observe(ttft_s)
        self._histograms["prefill_seconds"].observe(prefill_s)

    def token_gap(self, seconds: float, tokens: int = 1) -> None:
        """Count later tokens of a sequence, ``seconds`` after its previous one.

        Several tokens of one step, from a draft, share the time.
        """
        self._counters["output_tokens"] += tokens
        self._histograms["inter_token_latency_seconds"].observe(
            seconds / tokens, tokens
        )

    def finished(
        self,
        *,
        reason: FinishReason,
        e2e_s: float,
        decode_s: float,
        prompt_tokens: int,
        output_tokens: int,
        max_tokens: int | None,
    ) -> None:
        """Count the end of a sequence, with the seconds since arrival and first token.

        ``decode_s`` counts only if there was a token, ``max_tokens`` only if the
        request has set it.
        """
        self._finished[reason] += 1
        self._histograms["request_seconds"].observe(e2e_s)
        self._histograms["request_prompt_tokens"].observe(prompt_tokens)
        self._histograms["request_output_tokens"].observe(output_tokens)
        if output_tokens > 0:
            self._histograms["decode_seconds"].observe(decode_s)
        if output_tokens > 1:
            self._histograms["time_per_output_token_seconds"].observe(
                decode_s / (output_tokens - 1)
            )
        if max_tokens is not None:
            self._histograms["request_max_tokens"].observe(max_tokens)
        self._gauges["longest_sequence"] = max(
            self._gauges["longest_sequence"], prompt_tokens + output_tokens
        )

    def preempted(self) -> None:
        """Count the preemption of a sequence."""
        self._counters["preemptions"] += 1

    def waited(self, seconds: float) -> None:
        """Note for how long in all no step has begun, for somebody about to ask."""
        self._counters["wait_seconds"] = seconds

    def evicted(self, cells: int) -> None:
        """Count an evicted prefix, and its KV cells."""
        self._counters["evictions"] += 1
        self._counters["evicted_cells"] += cells

    def prefix_lookup(self, *, queried: int, hit: int) -> None:
        """Count tokens looked up in the prefix cache, and tokens found."""
        self._counters["prefix_cache_queries"] += queried
        self._counters["prefix_cache_hits"] += hit

    def drafted(self, tokens: int, accepted: int) -> None:
        """Count a draft: its tokens, and the accepted ones."""
        self._counters["drafts"] += 1
        self._counters["draft_tokens"] += tokens
        self._counters["accepted_draft_tokens"] += accepted

    def prefix_loaded(self, *, tokens: int, size: int) -> None:
        """Count a prefix loaded from disk: its tokens, and the bytes read."""
        self._counters["stored_prefix_hits"] += 1
        self._counters["stored_prefix_tokens"] += tokens
        self._counters["stored_prefix_read_bytes"] += size

    def prefix_stored(self, size: int) -> None:
        """Count a prefix stored on disk, by its bytes."""
        self._counters["stored_prefix_written_bytes"] += size

    def context_resized(self, n_ctx: int) -> None:
        """Count a resize of the context; ``n_ctx`` is the new length of a sequence."""
        self._counters["context_resizes"] += 1
        self._gauges["n_ctx"] = n_ctx

    def snapshot(self) -> Snapshot:
        """Return all metrics as plain data. Any thread may call it."""
        return {
            "counters": dict(self._counters),
            "gauges": dict(self._gauges),
            "finished": dict(self._finished),
            "histograms": {
                key: histogram.data() for key, histogram in self._histograms.items()
            },
        }
