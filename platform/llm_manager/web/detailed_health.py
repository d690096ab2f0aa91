"""GET /health/detailed: every part of the system, for the people who run it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from accounts.models import Scope
from inference.api.openapi.operations import detailed_health_schema
from inference.api.responses import json_response
from inference.api.view import ApiView
from inference.health.facts import HealthFacts, health_facts
from inference.health.findings import can_serve, health_findings
from inference.idle_unloading import keep_alive_of, unload_at

if TYPE_CHECKING:
    from django.http import HttpResponse
    from rest_framework.request import Request

    from inference.status import Overview


class Check(TypedDict):
    """Whether one part answers, and in what time."""

    status: Literal["ok", "failed"]
    latency_ms: float
    error: str | None


class DatabaseHealth(Check):
    """The database: `SQLite` or `PostgreSQL`."""

    kind: str
    version: str
    size_bytes: int


class RedisHealth(Check):
    """Redis. `memory_limit_bytes` is 0 if it has no limit."""

    version: str | None
    memory_bytes: int
    memory_limit_bytes: int


class DiskHealth(TypedDict):
    """The disk of a directory; `name` is what that is for: `data` or `models`."""

    machine: str
    name: str
    path: str
    total_bytes: int
    free_bytes: int
    error: str | None


class JournalHealth(TypedDict):
    """Requests that are over and have no row of usage yet, on this machine.

    ``oldest_at``, in seconds since the epoch, is when the first of them ended.
    ``lost`` are lines that this web process could not store.
    """

    files: int
    size_bytes: int
    waiting: int
    oldest_at: float | None
    lost: int


class Problem(TypedDict):
    """Something that is wrong, and what to do."""

    severity: Literal["danger", "warning"]
    part: str
    text: str
    advice: str


class NodeHealth(TypedDict):
    """One machine. ``clock_offset_s`` is how far it is ahead of the database's clock.

    ``versions`` are those of its programs.
    """

    name: str
    status: Literal["ok", "lost"]
    workers: int
    memory_total_bytes: int
    memory_available_bytes: int
    clock_offset_s: float
    versions: dict[str, str]


class RpcServerHealth(TypedDict):
    """An RPC server, as a node finds it.

    ``holder`` is the model that it serves now; ``offered_bytes`` is what it lends.
    """

    address: str
    node: str
    status: Literal["ok", "failed"]
    error: str | None
    holder: str | None
    offered_bytes: int


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
    """Every part, what is wrong with any of them, and whether requests can be served.

    ``problems`` begin with the worst. ``versions`` are those of the web process.
    """

    status: Literal["ok", "unavailable"]
    problems: list[Problem]
    database: DatabaseHealth
    redis: RedisHealth
    engine: Check
    nodes: list[NodeHealth]
    rpc_servers: list[RpcServerHealth]
    workers: list[WorkerHealth]
    queues: dict[str, int]
    disks: list[DiskHealth]
    journal: JournalHealth
    versions: dict[str, str]


class DetailedHealthView(ApiView):
    """GET /health/detailed."""

    required_scope = Scope.ADMIN

    def prepare(self, request: Request) -> HealthFacts:
        """Ask every part.

        The database's answers are its check too: if it fails, the answer is 503.
        """
        return health_facts()

    @detailed_health_schema
    async def get(self, request: Request, prepared: HealthFacts) -> HttpResponse:
        """Report on every part. The status is 503 if requests cannot be served."""
        is_serving = can_serve(prepared)
        answer = _answer(prepared, is_serving=is_serving)
        return json_response(answer, status=200 if is_serving else 503)


def _answer(facts: HealthFacts, *, is_serving: bool) -> DetailedHealth:
    redis, database, journal = facts.redis, facts.database, facts.journal
    alive = any(view.node.is_alive for view in facts.overview.nodes)
    return {
        "status": "ok" if is_serving else "unavailable",
        "problems": [
            {
                "severity": each.severity,
                "part": each.part,
                "text": each.text,
                "advice": each.advice,
            }
            for each in health_findings(facts)
        ],
        "database": {
            **_check(database.latency_ms),
            "kind": database.kind,
            "version": database.version,
            "size_bytes": database.size_bytes,
        },
        "redis": {
            **_check(redis.latency_ms, redis.error),
            "version": redis.version or None,
            "memory_bytes": redis.memory_bytes,
            "memory_limit_bytes": redis.memory_limit_bytes,
        },
        "engine": _check(0.0, "" if alive else "No engine is running."),
        "nodes": _nodes(facts.overview),
        "rpc_servers": _rpc_servers(facts.overview),
        "workers": _workers(facts.overview),
        "queues": redis.queues,
        "disks": [
            {
                "machine": disk.machine,
                "name": disk.space["name"],
                "path": disk.space["path"],
                "total_bytes": disk.space["total"],
                "free_bytes": disk.space["free"],
                "error": disk.space["error"] or None,
            }
            for disk in facts.disks
        ],
        "journal": {
            "files": journal.files,
            "size_bytes": journal.size_bytes,
            "waiting": journal.waiting,
            "oldest_at": journal.oldest_at,
            "lost": facts.lines_lost,
        },
        "versions": {"LLM Manager": facts.version, **facts.programs},
    }


def _check(latency_ms: float, error: str = "") -> Check:
    return {
        "status": "failed" if error else "ok",
        "latency_ms": round(latency_ms, 2),
        "error": error or None,
    }


def _nodes(seen: Overview) -> list[NodeHealth]:
    return [
        {
            "name": view.node.name,
            "status": "ok" if view.node.is_alive else "lost",
            "workers": view.loaded,
            "memory_total_bytes": view.node.memory_total,
            "memory_available_bytes": view.node.memory_available,
            "clock_offset_s": round(view.node.clock_offset_s, 3),
            "versions": {"LLM Manager": view.node.version, **view.node.programs},
        }
        for view in seen.nodes
    ]


def _rpc_servers(seen: Overview) -> list[RpcServerHealth]:
    return [
        {
            "address": server.address,
            "node": view.node.name,
            "status": "failed" if server.error else "ok",
            "error": server.error or None,
            "holder": server.holder or None,
            "offered_bytes": sum(device.free for device in server.offers),
        }
        for view in seen.nodes
        for server in view.rpc_servers
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
