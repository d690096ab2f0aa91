"""The faults: what happens to which part, for how long."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.faults.network import SERVICES
from benchmarks.nodes.failing_over import FailingOver
from benchmarks.nodes.versions import write_later_version
from benchmarks.systems.usage import ProcessTree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from benchmarks.nodes.cluster import Cluster
    from benchmarks.nodes.part import Part

    _Choose = Callable[[Cluster], Part]

_PAUSE_S = 20.0


@dataclass(frozen=True, slots=True)
class NodeFault:
    """One fault: ``inflict`` begins it, and ends it at the end of its block.

    One that ``takes_long`` in itself is under load all the time. One that
    ``needs_sentinel`` is for a system that finds Redis by one.
    """

    name: str
    inflict: Callable[[Cluster], AbstractAsyncContextManager[None]]
    seconds: float = 0.0
    takes_long: bool = False
    needs_sentinel: bool = False


def _web(cluster: Cluster) -> Part:
    return cluster.webs[0]


def _engine(cluster: Cluster) -> Part:
    """Return a node that has the model."""
    return cluster.serving()[0]


@asynccontextmanager
async def _killed(cluster: Cluster, *, choose: _Choose) -> AsyncIterator[None]:
    await choose(cluster).kill()
    yield


@asynccontextmanager
async def _frozen(cluster: Cluster, *, choose: _Choose) -> AsyncIterator[None]:
    with choose(cluster).frozen():
        yield


@asynccontextmanager
async def _cut_off(
    cluster: Cluster, *, choose: _Choose, services: tuple[str, ...]
) -> AsyncIterator[None]:
    with choose(cluster).place.cut_off(services):
        yield


@asynccontextmanager
async def _all_cut_off(
    cluster: Cluster, *, services: tuple[str, ...]
) -> AsyncIterator[None]:
    with ExitStack() as ending:
        for part in (*cluster.webs, *cluster.engines):
            ending.enter_context(part.place.cut_off(services))
        yield


@asynccontextmanager
async def _redis_restarted(cluster: Cluster) -> AsyncIterator[None]:
    await cluster.redis.kill()
    await cluster.redis.start()
    yield


@asynccontextmanager
async def _redis_fails_over(cluster: Cluster) -> AsyncIterator[None]:
    assert isinstance(cluster.redis, FailingOver)
    await cluster.redis.fail()
    yield


@asynccontextmanager
async def _redis_frozen(cluster: Cluster) -> AsyncIterator[None]:
    assert cluster.redis.process is not None
    pid = cluster.redis.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def _database_restarted(cluster: Cluster) -> AsyncIterator[None]:
    cluster.postgresql.restart()
    yield


@asynccontextmanager
async def _database_frozen(cluster: Cluster) -> AsyncIterator[None]:
    tree = ProcessTree(cluster.postgresql.pid, lambda _: "postgresql")
    pids = tree.pids()["postgresql"]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def _upgraded(cluster: Cluster, *, folder: Path) -> AsyncIterator[None]:
    """Replace part after part by a later version, engines and web processes in turn."""
    path = write_later_version(folder)
    webs, engines = cluster.webs, cluster.engines
    for part in (engines[0], webs[0], *engines[1:], *webs[1:]):
        await part.stop()
        await part.start(PYTHONPATH=f"{path}:{part.env['PYTHONPATH']}")
        await cluster.ready(part)
    yield


def node_faults(folder: Path) -> list[NodeFault]:
    """Return all faults; the later version is written into a folder."""
    cuts = {"Redis": SERVICES[:1], "PostgreSQL": SERVICES[1:], "both": SERVICES}
    parts: dict[str, _Choose] = {"node": _engine, "web": _web}
    return [
        *(
            NodeFault(f"{name} killed", partial(_killed, choose=choose))
            for name, choose in parts.items()
        ),
        *(
            NodeFault(
                f"{name} frozen for {_PAUSE_S:g} s",
                partial(_frozen, choose=choose),
                _PAUSE_S,
            )
            for name, choose in parts.items()
        ),
        *(
            NodeFault(
                f"{name} cut off from {of} for {_PAUSE_S:g} s",
                partial(_cut_off, choose=choose, services=services),
                _PAUSE_S,
            )
            for name, choose in parts.items()
            for of, services in cuts.items()
        ),
        NodeFault("Redis restarted", _redis_restarted),
        NodeFault("Redis fails over", _redis_fails_over, needs_sentinel=True),
        NodeFault(f"Redis frozen for {_PAUSE_S:g} s", _redis_frozen, _PAUSE_S),
        NodeFault("PostgreSQL restarted", _database_restarted),
        NodeFault(f"PostgreSQL frozen for {_PAUSE_S:g} s", _database_frozen, _PAUSE_S),
        *(
            NodeFault(
                f"{of} cut off from all for {_PAUSE_S:g} s",
                partial(_all_cut_off, services=cuts[of]),
                _PAUSE_S,
            )
            for of in ("Redis", "PostgreSQL")
        ),
        NodeFault(
            "rolling upgrade", partial(_upgraded, folder=folder), takes_long=True
        ),
    ]
