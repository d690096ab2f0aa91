"""GET /health/detailed: every part of the system, for the people who run it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal, TypedDict

from redis.exceptions import RedisError

from accounts.models import Scope
from inference.api.openapi.operations import detailed_health_schema
from inference.api.responses import json_response
from inference.api.view import ApiView
from inference.idle_unloading import keep_alive_of, unload_at
from inference.status import Overview, overview
from inference.transport import queue_depths

if TYPE_CHECKING:
    from django.http import HttpResponse
    from rest_framework.request import Request

#: If Redis has not answered in this time, it counts as unreachable.
_REDIS_TIMEOUT_S = 2.0


class Check(TypedDict):
    """Whether one part answers, and in what time."""

    status: Literal["ok", "failed"]
    latency_ms: float
    error: str | None


class NodeHealth(TypedDict):
    """One machine."""

    name: str
    status: Literal["ok", "lost"]
    workers: int
    memory_total_bytes: int
    memory_available_bytes: int


class WorkerHealth(TypedDict):
    """One loaded model.

    ``unload_at``, in seconds since the epoch, is when it is unloaded if no request
    comes; None while requests run. ``keep_alive_s`` is how long it stays after its last
    request; None is for good.
    """

    model: str
    replica: int
    node: str | None
    state: str
    error: str | None
    running: int
    waiting: int
    kv_cells_used: int
    kv_cells_total: int
    memory_bytes: int
    n_ctx: int | None
    keep_alive_s: int | None
    unload_at: float | None


class DetailedHealth(TypedDict):
    """Every part, and whether requests can be served."""

    status: Literal["ok", "unavailable"]
    database: Check
    redis: Check
    engine: Check
    nodes: list[NodeHealth]
    workers: list[WorkerHealth]
    queues: dict[str, int]


class DetailedHealthView(ApiView):
    """GET /health/detailed."""

    required_scope = Scope.ADMIN

    def prepare(self, request: Request) -> tuple[Overview, Check]:
        """Read the rows of nodes and workers. Two queries.

        They are the check of the database too: if it fails, the answer is 503.
        """
        started = time.perf_counter()
        seen = overview()
        return seen, _check(started)

    @detailed_health_schema
    async def get(
        self, request: Request, prepared: tuple[Overview, Check]
    ) -> HttpResponse:
        """Report on every part. The status is 503 if requests cannot be served."""
        seen, database = prepared
        redis, queues = await _queues()
        alive = any(view.node.is_alive for view in seen.nodes)
        engine: Check = {
            "status": "ok" if alive else "failed",
            "latency_ms": 0.0,
            "error": None if alive else "No engine is running.",
        }
        can_serve = alive and redis["status"] == "ok"
        answer: DetailedHealth = {
            "status": "ok" if can_serve else "unavailable",
            "database": database,
            "redis": redis,
            "engine": engine,
            "nodes": _nodes(seen),
            "workers": _workers(seen),
            "queues": queues,
        }
        return json_response(answer, status=200 if can_serve else 503)


async def _queues() -> tuple[Check, dict[str, int]]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_REDIS_TIMEOUT_S):
            depths = await queue_depths.queue_depths()
    except (OSError, RedisError, TimeoutError) as error:
        return _check(started, str(error) or type(error).__name__), {}
    return _check(started), depths


def _check(started: float, error: str | None = None) -> Check:
    latency_ms = round((time.perf_counter() - started) * 1000, 2)
    status: Literal["ok", "failed"] = "ok" if error is None else "failed"
    return {"status": status, "latency_ms": latency_ms, "error": error}


def _nodes(seen: Overview) -> list[NodeHealth]:
    return [
        {
            "name": view.node.name,
            "status": "ok" if view.node.is_alive else "lost",
            "workers": view.loaded,
            "memory_total_bytes": view.node.memory_total,
            "memory_available_bytes": view.node.memory_available,
        }
        for view in seen.nodes
    ]


def _workers(seen: Overview) -> list[WorkerHealth]:
    return [
        {
            "model": view.worker.model.name,
            "replica": view.worker.replica,
            "node": view.worker.node.name if view.worker.node else None,
            "state": view.state.name,
            "error": view.worker.error or None,
            "running": view.worker.running,
            "waiting": view.worker.waiting,
            "kv_cells_used": view.worker.kv_cells_used,
            "kv_cells_total": view.worker.kv_cells_total,
            "memory_bytes": view.worker.memory_bytes,
            "n_ctx": view.worker.n_ctx,
            "keep_alive_s": keep_alive_of(view.worker.model),
            "unload_at": unload_at(view.worker, seen.workers),
        }
        for view in seen.workers
    ]
