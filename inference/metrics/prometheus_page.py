"""The page that Prometheus reads."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import REGISTRY
from prometheus_client.multiprocess import MultiProcessCollector

from inference.metrics.worker_collector import WorkerCollector


def metrics_text() -> bytes:
    """Return all metrics in Prometheus' text format. One query, one call to Redis.

    What this process counts, Django's metrics among it, is in prometheus_client's own
    registry. With PROMETHEUS_MULTIPROC_DIR set, the counts of all web processes are
    added up instead, from the files in that folder.
    """
    workers = CollectorRegistry()
    workers.register(WorkerCollector())
    counted = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return generate_latest(counted) + generate_latest(workers)
