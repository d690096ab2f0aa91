"""The workers' metrics, read when Prometheus asks."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from django.conf import settings
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from redis.exceptions import RedisError

from inference.metrics import telemetry_store
from inference.metrics.compatible_metrics import COMPATIBLE_METRICS
from inference.metrics.metric_type import NO_TELEMETRY
from inference.metrics.worker_metrics import WORKER_METRICS
from inference.models import RpcServer, Worker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric as Family

    from inference.engine.telemetry import HistogramData, Snapshot
    from inference.metrics.metric_type import Value, WorkerMetric

logger = logging.getLogger(__name__)

#: The state of a worker that should run, on a machine that does not report.
SILENT = "silent"
_FAMILIES: dict[str, Any] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


class WorkerCollector(Collector):
    """Exports the workers' rows and what the workers measure themselves.

    One query and one call to Redis. A worker counts from 0 when its model is loaded,
    and its series end with it: Prometheus handles that as the reset of a counter.
    """

    def collect(self) -> Iterator[Family]:
        """Yield each metric under its name and, unless switched off, its aliases."""
        rows = list(Worker.objects.select_related("model", "node"))
        workers = [worker for worker in rows if worker.is_in_service]
        yield _by_state(rows)
        yield GaugeMetricFamily(
            "llm_active_models",
            "Models that are loaded and take requests.",
            value=len({w.model_id for w in workers if w.state == WorkerState.READY}),
        )
        yield from _rpc_servers()
        measured = _measured(workers)
        seen = [(w, measured.get(w.incarnation, NO_TELEMETRY)) for w in workers]
        has_aliases = settings.CONFIG.metrics.aliases
        for metric in (
            WORKER_METRICS + COMPATIBLE_METRICS if has_aliases else WORKER_METRICS
        ):
            values = [(worker, metric.read(worker, own)) for worker, own in seen]
            yield _family(metric, metric.name, values)
            for alias in metric.aliases if has_aliases else ():
                yield _family(metric, alias, values)


def _by_state(workers: Iterable[Worker]) -> Family:
    """Return how many workers each model has in each state."""
    family = GaugeMetricFamily(
        "llm_workers",
        "Workers by model and state.",
        labels=["model", "state"],
    )
    counts: dict[str, Counter[str]] = {}
    for worker in workers:
        state = SILENT if worker.is_silent else worker.state
        counts.setdefault(worker.model.name, Counter())[state] += 1
    for name, count in counts.items():
        for state in (*WorkerState.values, SILENT):
            family.add_metric([name, state], count[state])
    return family


def _rpc_servers() -> Iterator[Family]:
    """Yield how nodes find the RPC servers, if the configuration names any."""
    names = settings.CONFIG.rpc.servers
    if not names:
        return
    labels = ["node", "server"]
    up = GaugeMetricFamily(
        "llm_rpc_server_up", "Whether a node can use an RPC server.", labels=labels
    )
    offered = GaugeMetricFamily(
        "llm_rpc_server_offered_bytes", "What an RPC server lends.", labels=labels
    )
    for each in RpcServer.objects.filter(address__in=names).select_related("node"):
        up.add_metric([each.node.name, each.address], not each.error)
        free = sum(device.free for device in each.offers)
        offered.add_metric([each.node.name, each.address], free)
    yield up
    yield offered


def _measured(workers: Iterable[Worker]) -> dict[str, Snapshot]:
    """Return what the workers measure, by their incarnation."""
    try:
        return telemetry_store.load(worker.incarnation for worker in workers)
    except (OSError, RedisError):
        # llm_engine_reporting shows it, and what is in the rows is still exported.
        logger.warning("Redis cannot be reached; /metrics lacks the engine's metrics")
        return {}


def _family(
    metric: WorkerMetric, name: str, values: Iterable[tuple[Worker, Value]]
) -> Any:
    """Return one metric of all workers, under one of its names."""
    family = _FAMILIES[metric.kind](name, metric.help, labels=metric.labels(name))
    for worker, value in values:
        labels = [worker.model.name, str(worker.replica)]
        if isinstance(value, float | int):
            family.add_metric(labels, value)
        elif isinstance(value, list):
            for label, number in value:
                family.add_metric([*labels, label], number)
        elif value is not None:
            family.add_metric(labels, _cumulative(value), value["sum"])
    return family


def _cumulative(histogram: HistogramData) -> list[tuple[str, float]]:
    """Return a histogram's buckets as Prometheus wants them, each with all below it."""
    bounds = [*map(floatToGoString, histogram["bounds"]), "+Inf"]
    return list(zip(bounds, accumulate(histogram["counts"]), strict=True))
