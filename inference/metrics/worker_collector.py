"""What Prometheus is told: counted in the web processes, or read from the workers."""

from __future__ import annotations

import logging
import os
import time
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from django.conf import settings
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    REGISTRY,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from redis.exceptions import RedisError

from inference.metrics import telemetry_store
from inference.metrics.worker_metrics import COMPATIBLE, METRICS, NO_TELEMETRY
from inference.models import Worker, WorkerState
from inference.transport.messages import Accepted, Finished, TokensGenerated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric as Family

    from inference.engine.telemetry import HistogramData, Snapshot
    from inference.metrics.worker_metrics import Metric, Value
    from inference.transport.messages import Event

logger = logging.getLogger(__name__)

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
#: Those above: what the web processes count, each for itself.
WEB_METRICS = (REQUESTS, DURATION, FIRST_TOKEN, TOKENS_INPUT, TOKENS_OUTPUT)

_FAMILIES: dict[str, Any] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


class RequestMeter:
    """Measures one request; ``model`` is set once it is known which it is for."""

    def __init__(self) -> None:
        self.model = NO_MODEL
        self._started = time.perf_counter()
        self._output: dict[int, int] = {}
        self._output_total: Counter | None = None

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
        if self._output_total is None:
            FIRST_TOKEN.labels(self.model).observe(self._elapsed())
            # Found once: this happens for every token.
            self._output_total = TOKENS_OUTPUT.labels(self.model)
        self._output[index] = self._output.get(index, 0) + count
        self._output_total.inc(count)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started


class WorkerCollector(Collector):
    """What the workers' rows and their own measurements say when Prometheus asks.

    One query and one round trip to Redis. What a worker counts begins at 0 when it
    is loaded and is gone with it: to Prometheus that is a counter's reset.
    """

    def collect(self) -> Iterator[Family]:
        """Yield the metrics of the table under each of their names."""
        workers = list(Worker.objects.in_service().select_related("model"))
        yield GaugeMetricFamily(
            "llm_active_models",
            "Models that are loaded and take requests.",
            value=len({w.model_id for w in workers if w.state == WorkerState.READY}),
        )
        measured = _measured(workers)
        seen = [(w, measured.get(w.incarnation, NO_TELEMETRY)) for w in workers]
        has_aliases = settings.CONFIG.metrics.aliases
        for metric in METRICS + COMPATIBLE if has_aliases else METRICS:
            values = [(worker, metric.read(worker, own)) for worker, own in seen]
            yield _family(metric, metric.name, values)
            for alias in metric.aliases if has_aliases else ():
                yield _family(metric, alias, values)


def _measured(workers: Iterable[Worker]) -> dict[str, Snapshot]:
    """Return what the workers have measured, by their incarnation."""
    try:
        return telemetry_store.load(worker.incarnation for worker in workers)
    except (OSError, RedisError):
        # llm_engine_reporting tells of it, and everything else can still be told.
        logger.warning("Redis is away; /metrics lacks what the workers measure")
        return {}


def _family(metric: Metric, name: str, values: Iterable[tuple[Worker, Value]]) -> Any:
    """Return one metric of all workers under one of its names."""
    family = _FAMILIES[metric.kind](name, metric.help, labels=metric.labels(name))
    for worker, value in values:
        labels = [worker.model.name, str(worker.replica)]
        if isinstance(value, float | int):
            family.add_metric(labels, value)
        elif isinstance(value, list):
            for label, number in value:
                family.add_metric([*labels, label], number)
        elif value is not None:
            family.add_metric(labels, _cumulated(value), value["sum"])
    return family


def _cumulated(histogram: HistogramData) -> list[tuple[str, float]]:
    """Return a histogram's buckets as Prometheus has them: each with those below."""
    bounds = [*map(floatToGoString, histogram["bounds"]), "+Inf"]
    return list(zip(bounds, accumulate(histogram["counts"]), strict=True))


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
