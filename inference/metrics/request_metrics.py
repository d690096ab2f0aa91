"""What the web processes count of the requests that run on a model."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from accounts.usage.metrics import USAGE_METRICS
from inference.engine.output import SequenceOutput
from inference.transport.affinity.metrics import AFFINITY_METRICS
from inference.transport.messages.events import Accepted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.transport.messages.events import Event

#: The label of requests whose model does not exist. Names that clients make up never
#: become labels: each would be a permanent time series.
NO_MODEL = "none"
#: What nginx logs for a client that left before its answer ended; nobody receives it.
CLIENT_GONE = 499

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

# A counter's time of creation is of no use here, and would be half of the page.
disable_created_metrics()  # type: ignore[no-untyped-call]

REQUESTS = Counter(
    "llm_requests",
    "Requests by model and HTTP status; 499 is a client that left, model 'none' a name "
    "that no model has.",
    ["model", "status"],
)
DURATION = Histogram(
    "llm_request_duration_seconds",
    "Time from a request's arrival to the end of its answer.",
    ["model"],
    buckets=_SECONDS,
)
FIRST_TOKEN = Histogram(
    "llm_time_to_first_token_seconds",
    "Time from a request's arrival to the first token of its answer.",
    ["model"],
    buckets=_SECONDS,
)
UPSTREAM_GAP = Histogram(
    "llm_upstream_inter_token_latency_seconds",
    "Time between two pieces of an answer that an upstream streams.",
    ["model"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
UPSTREAM_REQUESTS = Counter(
    "llm_upstream_requests",
    "Requests to upstreams by what came of them: answered, refused (the request is at "
    "fault), busy, failed, timeout, abandoned (the client left, or its time was over).",
    ["upstream", "result"],
)
UPSTREAM_OPEN = Gauge(
    "llm_upstream_breaker_open",
    "Whether web processes send no requests to an upstream for a while: how many.",
    ["upstream"],
    multiprocess_mode="livesum",
)
ROUTE_REQUESTS = Counter(
    "llm_route_requests",
    "Requests to routes, by the target that was asked: answered (errors too), or "
    "failed, so that the next one was asked.",
    ["route", "target", "result"],
)
TOKENS_INPUT = Counter("llm_tokens_input", "Prompt tokens.", ["model"])
TOKENS_OUTPUT = Counter("llm_tokens_output", "Output tokens.", ["model"])
BATCH_LINES = Counter(
    "llm_batch_lines",
    "Requests of batches, by what became of them: completed, failed, expired or "
    "cancelled.",
    ["result"],
)
REQUEST_METRICS = (
    *(REQUESTS, DURATION, FIRST_TOKEN, TOKENS_INPUT, TOKENS_OUTPUT),
    *(BATCH_LINES, UPSTREAM_GAP, UPSTREAM_REQUESTS, UPSTREAM_OPEN),
    ROUTE_REQUESTS,
    *AFFINITY_METRICS,
    *USAGE_METRICS,
)


class RequestMeter:
    """Measures one request; its view sets ``model`` when it has found the model."""

    def __init__(self) -> None:
        self.model = NO_MODEL
        self._started = time.perf_counter()
        self._output: dict[int, int] = {}
        self._output_total: Counter | None = None
        self._piece_at = 0.0
        self._gaps: Histogram | None = None

    def observe(self, events: Iterable[tuple[int, Event]], *, n: int) -> None:
        """Count the tokens of events, each with its sequence's index.

        The first ``n`` sequences share a prompt, as do the next ones.
        """
        for index, event in events:
            if isinstance(event, SequenceOutput):
                count = len(event.tokens)
                if event.is_last:
                    count = event.num_output - self._output.get(index, 0)
                self._count_output(index, count)
            elif isinstance(event, Accepted) and index % n == 0:
                TOKENS_INPUT.labels(self.model).inc(event.prompt_tokens)

    def piece(self, now: float) -> None:
        """Measure a piece of an upstream's stream, by ``time.perf_counter``."""
        if self._gaps is None:
            FIRST_TOKEN.labels(self.model).observe(now - self._started)
            # Looked up once, since this runs for every token.
            self._gaps = UPSTREAM_GAP.labels(self.model)
        else:
            self._gaps.observe(now - self._piece_at)
        self._piece_at = now

    def count(self, *, prompt: int, completion: int) -> None:
        """Count the tokens of a request to an upstream."""
        TOKENS_INPUT.labels(self.model).inc(prompt)
        TOKENS_OUTPUT.labels(self.model).inc(completion)

    def finish(self, status: int) -> None:
        """Count the request with its status. Call it once, at the end."""
        REQUESTS.labels(self.model, str(status)).inc()
        DURATION.labels(self.model).observe(self._elapsed())

    def _count_output(self, index: int, count: int) -> None:
        if count <= 0:
            return
        if self._output_total is None:
            FIRST_TOKEN.labels(self.model).observe(self._elapsed())
            # Looked up once, since this runs for every token.
            self._output_total = TOKENS_OUTPUT.labels(self.model)
        self._output[index] = self._output.get(index, 0) + count
        self._output_total.inc(count)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started
