"""What is wrong, the worst first, each with what to do. Pure: it only reads facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llm_manager.lib.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.health.facts import HealthFacts, MachineDisk
    from inference.status import NodeView, Overview

Severity = Literal["danger", "warning"]
_ORDER: tuple[Severity, ...] = ("danger", "warning")

#: Choices, not measurements: what an administrator wants to hear of in time.
_SLOW_REDIS_MS = 20.0
_SLOW_DATABASE_MS = 100.0
_FULL_REDIS = 0.9
_LITTLE_DISK = 2**30
_SMALL_DISK_SHARE = 0.05
_SMALL_DISK = 20 * 2**30
_LITTLE_MEMORY_SHARE = 0.03
#: Rows follow within some two seconds.
_LATE_ROWS_S = 15.0


@dataclass(frozen=True, slots=True)
class HealthFinding:
    """Something that is wrong with a part, and what to do.

    ``node_id`` is the row of a node that is lost, ``model_id`` of a model that failed.
    """

    severity: Severity
    part: str
    text: str
    advice: str
    node_id: int | None = None
    model_id: int | None = None


def health_findings(facts: HealthFacts) -> list[HealthFinding]:
    """Return what is wrong, the worst first."""
    found = [
        *_nodes(facts),
        *failed_loads(facts.overview),
        *_rpc_servers(facts),
        *_upstreams(facts),
        *_redis(facts),
        *_database(facts),
        *_disks(facts),
        *_usage(facts),
        *_versions(facts),
    ]
    return sorted(found, key=lambda each: _ORDER.index(each.severity))


def _upstreams(facts: HealthFacts) -> Iterator[HealthFinding]:
    for name, fault in facts.upstream_faults.items():
        yield HealthFinding(
            "warning",
            f"Upstream {name}",
            fault,
            f"`llm-manager upstream check '{name}'` asks it again; its page has its "
            "address, its key and its time-outs.",
        )


def can_serve(facts: HealthFacts) -> bool:
    """Return whether requests can be served at all."""
    return _has_engine(facts) and not facts.redis.error


def _has_engine(facts: HealthFacts) -> bool:
    return any(view.node.is_alive for view in facts.overview.nodes)


def _nodes(facts: HealthFacts) -> Iterator[HealthFinding]:
    if not _has_engine(facts):
        yield HealthFinding(
            "danger",
            "Engine",
            "No engine is running, so no model can answer.",
            "Start one with `llm-manager engine`, or everything with `llm-manager "
            "server`; `llm-manager logs` says why the last one ended.",
        )
    for view in facts.overview.nodes:
        yield from _node(view)


def _node(view: NodeView) -> Iterator[HealthFinding]:
    node = view.node
    part = f"Node {node.name}"
    if not node.is_alive:
        yield HealthFinding(
            "danger",
            part,
            f"It has sent no heartbeat since {node.heartbeat_at:%Y-%m-%d %H:%M:%S} "
            "UTC.",
            "Look whether the machine runs and reaches the database, and start its "
            "engine with `llm-manager engine`. Its models are loaded elsewhere if "
            "there is room. If it is gone for good, forget it here.",
            node_id=node.pk,
        )
        return
    if not node.hears_redis:
        yield HealthFinding(
            "danger",
            part,
            f"It has heard nothing over Redis since "
            f"{node.redis_heard_at:%Y-%m-%d %H:%M:%S} UTC, so no request reaches it.",
            "Look at its way to Redis. Its models are loaded elsewhere if there is "
            "room, and it goes on by itself.",
        )
    if node.memory_available < node.memory_total * _LITTLE_MEMORY_SHARE:
        yield HealthFinding(
            "warning",
            part,
            f"Only {human_bytes(node.memory_available)} of its "
            f"{human_bytes(node.memory_total)} of memory are free.",
            "Unload a model, lower engine.memory_mb, or end what else runs there: the "
            "system may kill a worker.",
        )
    if not view.clock_is_right:
        way = "ahead of" if node.clock_offset_s > 0 else "behind"
        yield HealthFinding(
            "warning",
            part,
            f"Its clock is {abs(node.clock_offset_s):.1f} s {way} the database's.",
            "Let both machines follow a time server (NTP): times in logs and rows are "
            "wrong by as much.",
        )


def _rpc_servers(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Yield the RPC servers that a node cannot use."""
    for view in facts.overview.nodes:
        for server in view.rpc_servers if view.node.is_alive else ():
            if server.error:
                yield HealthFinding(
                    "warning",
                    f"RPC server {server.address}",
                    f"Seen from {view.node}: {server.error}",
                    "Models that name it wait for it. Start `llm-manager rpc` there, "
                    "with the same version and rpc.secret as here, or take it out of "
                    "rpc.servers.",
                )


def failed_loads(seen: Overview) -> Iterator[HealthFinding]:
    """Yield the models that could not be loaded, with llama.cpp's reason."""
    for view in seen.workers:
        if view.state.name == "failed":
            yield HealthFinding(
                "danger",
                f"Model {view.worker}",
                f"It could not be loaded: {view.worker.error}",
                "Its page has its settings and what they take in memory. Change what "
                "the reason names, then try again.",
                model_id=view.worker.model_id,
            )


def _redis(facts: HealthFacts) -> Iterator[HealthFinding]:
    redis = facts.redis
    if redis.error:
        yield HealthFinding(
            "danger",
            "Redis",
            f"It does not answer: {redis.error}",
            "Requests fail until it is back. `llm-manager server` starts its private "
            "one again by itself; one of your own is named by redis.url.",
        )
        return
    limit = redis.memory_limit_bytes
    if limit and redis.memory_bytes > limit * _FULL_REDIS:
        yield HealthFinding(
            "warning",
            "Redis",
            f"It uses {human_bytes(redis.memory_bytes)} of {human_bytes(limit)}.",
            "Raise its maxmemory: when it is full it refuses requests.",
        )
    if redis.latency_ms > _SLOW_REDIS_MS:
        yield HealthFinding(
            "warning",
            "Redis",
            f"It took {redis.latency_ms:.0f} ms to answer.",
            "Every step of every answer passes through it: look for a busy machine or "
            "a slow network.",
        )


def _database(facts: HealthFacts) -> Iterator[HealthFinding]:
    if facts.database.latency_ms > _SLOW_DATABASE_MS:
        yield HealthFinding(
            "warning",
            "Database",
            f"It took {facts.database.latency_ms:.0f} ms to answer.",
            "Look for a busy machine, a slow disk or a long transaction.",
        )


def _disks(facts: HealthFacts) -> Iterator[HealthFinding]:
    # Directories on one disk fill up together.
    shared: dict[tuple[str, int, int], list[MachineDisk]] = {}
    for disk in facts.disks:
        space = disk.space
        if space["error"]:
            yield HealthFinding(
                "warning",
                f"Disk of {disk.machine}",
                f"The server cannot read {_folder(disk)}: {space['error']}.",
                "Mount or create it, or correct its path in the configuration.",
            )
        else:
            same = disk.machine, space["total"], space["free"]
            shared.setdefault(same, []).append(disk)
    for (machine, total, free), on_it in shared.items():
        if severity := _how_full(on_it[0]):
            yield HealthFinding(
                severity,
                f"Disk of {machine}",
                f"{human_bytes(free)} of {human_bytes(total)} are left for "
                f"{' and '.join(map(_folder, on_it))}.",
                "Delete what is not needed: models that nobody uses, old logs. With a "
                "full disk rows of usage wait in memory, and SQLite cannot write.",
            )


def _folder(disk: MachineDisk) -> str:
    return f"the {disk.space['name']} directory {disk.space['path']}"


def _how_full(disk: MachineDisk) -> Severity | None:
    free, total = disk.space["free"], disk.space["total"]
    if free < _LITTLE_DISK:
        return "danger"
    return "warning" if free < min(total * _SMALL_DISK_SHARE, _SMALL_DISK) else None


def _usage(facts: HealthFacts) -> Iterator[HealthFinding]:
    if facts.lines_lost:
        yield HealthFinding(
            "danger",
            "Usage",
            f"This web process lost {facts.lines_lost} lines of its journal of usage.",
            "The disk of the data directory was full for long, or the database refuses "
            "a line; the log has the reason.",
        )
    oldest_at = facts.journal.oldest_at
    if oldest_at is not None and facts.now - oldest_at > _LATE_ROWS_S:
        yield HealthFinding(
            "warning",
            "Usage",
            f"{facts.journal.waiting} requests or more are not in the database yet, "
            f"the oldest for {facts.now - oldest_at:.0f} s.",
            "They wait in the journal, and nothing is lost. The database is away or "
            "locked: `llm-manager logs` says which.",
        )


def _versions(facts: HealthFacts) -> Iterator[HealthFinding]:
    ours = {"LLM Manager": facts.version, **facts.programs}
    for view in facts.overview.nodes:
        node = view.node
        if not node.is_alive:
            continue
        theirs = {"LLM Manager": node.version, **node.programs}
        other = [
            f"{name} {theirs[name]} (here {ours[name]})"
            for name in ("LLM Manager", "llama-cpp-python")
            if name in theirs and theirs[name] != ours.get(name)
        ]
        if other:
            yield HealthFinding(
                "warning",
                f"Node {node.name}",
                f"It runs {', '.join(other)}.",
                "Install the same versions there and restart its engine.",
            )
