"""What Prometheus is told: counted in the web processes, read from the rows."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from django.conf import settings
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import REGISTRY, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from inference.models import Worker
from inference.protocol import Accepted, Finished, TokensGenerated
from inference.sizing import ModelShape, kv_bytes_per_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from inference.protocol import Event

#: The label of requests that named no model which there is. Names that clients
#: make up never become labels: each would be a time series for ever.
NO_MODEL = "none"
#: What nginx logs for a client that went away; nobody receives it.
CLIENT_GONE = 499

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

# When a counter began nobody asks, and it would be half of the answer.
disable_created_metrics()  # type: ignore[no-untyped-call]

REQUESTS = Counter("llm_requests", "Requests.", ["model", "status"])
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
TOKENS_INPUT = Counter("llm_tokens_input", "Tokens of prompts.", ["model"])
TOKENS_OUTPUT = Counter("llm_tokens_output", "Tokens of answers.", ["model"])


class RequestMeter:
    """Measures one request; ``model`` is set once it is known which it is for."""

    def __init__(self) -> None:
        self.model = NO_MODEL
        self._started = time.perf_counter()
        self._output: dict[int, int] = {}

    def observe(self, events: Iterable[tuple[int, Event]], *, n: int) -> None:
        """Count what the engine has done; n sequences share a prompt."""
        for index, event in events:
            if isinstance(event, TokensGenerated):
                self._count_output(index, len(event.tokens))
            elif isinstance(event, Finished):
                # A sequence's last token comes with its end and not by itself.
                seen = self._output.get(index, 0)
                self._count_output(index, event.usage.completion_tokens - seen)
            elif isinstance(event, Accepted) and index % n == 0:
                TOKENS_INPUT.labels(self.model).inc(event.prompt_tokens)

    def finish(self, status: int) -> None:
        """Count the request with its status; once, when it is over."""
        REQUESTS.labels(self.model, str(status)).inc()
        DURATION.labels(self.model).observe(self._elapsed())

    def _count_output(self, index: int, count: int) -> None:
        if count <= 0:
            return
        if not self._output:
            FIRST_TOKEN.labels(self.model).observe(self._elapsed())
        self._output[index] = self._output.get(index, 0) + count
        TOKENS_OUTPUT.labels(self.model).inc(count)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started


def _context_bytes(worker: Worker) -> float | None:
    model = worker.model
    if model.kv_elements_per_token is None:
        return None
    shape = ModelShape(model.file_size, model.kv_elements_per_token, 0, 0)
    kv_type = model.kv_cache_type or settings.CONFIG["gpu.kv_cache_type"]
    return worker.kv_cells_total * kv_bytes_per_token(shape, kv_type)


_GAUGES: tuple[tuple[str, str, Callable[[Worker], float | None]], ...] = (
    (
        "llm_model_load_duration_seconds",
        "Time that loading the model took.",
        lambda worker: worker.load_seconds,
    ),
    ("llm_context_size_bytes", "Memory of the KV cache.", _context_bytes),
    (
        "llm_context_size_tokens",
        "Context of one sequence, in force.",
        lambda worker: worker.n_ctx,
    ),
    ("llm_model_memory_bytes", "Resident memory.", lambda worker: worker.memory_bytes),
    ("llm_requests_running", "Sequences that run.", lambda worker: worker.running),
    ("llm_requests_waiting", "Sequences that wait.", lambda worker: worker.waiting),
    ("llm_kv_cells_used", "KV cells in use.", lambda worker: worker.kv_cells_used),
    ("llm_kv_cells", "KV cells that there are.", lambda worker: worker.kv_cells_total),
)


class WorkerCollector(Collector):
    """Gauges of the workers, read from their rows when Prometheus asks. One query."""

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        workers = list(Worker.objects.serving().select_related("model"))
        yield GaugeMetricFamily(
            "llm_active_models",
            "Models that are loaded and take requests.",
            value=len({worker.model_id for worker in workers}),
        )
        for name, text, value in _GAUGES:
            family = GaugeMetricFamily(name, text, labels=["model", "replica"])
            for worker in workers:
                number = value(worker)
                if number is not None:
                    labels = [worker.model.name, str(worker.replica)]
                    family.add_metric(labels, number)
            yield family


def metrics_text() -> bytes:
    """Return all metrics in Prometheus' text format. One query.

    With PROMETHEUS_MULTIPROC_DIR set, the counts of all web processes are added
    up from the files that they share.
    """
    registry = CollectorRegistry()
    registry.register(WorkerCollector())
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(REGISTRY) + generate_latest(registry)
