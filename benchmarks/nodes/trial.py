"""One fault under greedy streams on several nodes, and what came of them."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmarks.client.answers import clock
from benchmarks.faults.clients import PATIENCE_S, Outcome, answers, follow
from benchmarks.faults.other_programs import OtherPrograms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.faults.clients import Api
    from benchmarks.nodes.cluster import Cluster
    from benchmarks.nodes.faults import NodeFault

#: Long enough to run when the fault begins.
MAX_TOKENS = 64
#: Every stream has begun, and none is near its end.
_BEGUN_PIECES = 3
#: How long to wait for the next answer.
_NEXT_LIMIT_S = 120.0


@dataclass(slots=True)
class Watched:
    """A stream: when its pieces came, and how it ended."""

    number: int
    began_at: float = field(default_factory=clock)
    pieces: list[float] = field(default_factory=list)
    outcome: Outcome = field(default_factory=lambda: Outcome("hung"))

    def pause_s(self, since: float) -> float:
        """Return the longest time without a piece after a moment."""
        since = max(since, self.began_at)
        times = [since, *(at for at in self.pieces if at > since)]
        return max((later - at for at, later in pairwise(times)), default=0.0)


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What clients saw of a fault, and whether rows and processes agree after it.

    ``lost`` streams have no end, or an error; ``reasons`` are their sentences.
    ``doubled`` ones have more text than undisturbed, ``wrong`` ones other text.
    ``pause_s`` is the longest time that a stream stood still. ``next_s`` is when the
    web process that the fault does not strike answered a new request: seconds after
    the beginning of the fault, or after the end of one under load. ``owners`` says
    which worker has two owners or none; "" is right.
    """

    fault: str
    streams: int
    lost: int
    wrong: int
    doubled: int
    pause_s: float
    next_s: float | None
    owners: str
    other_cores: float
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, wrong or doubled, and every worker has an owner."""
        bad = self.lost + self.wrong + self.doubled
        return not bad and self.next_s is not None and not self.owners


async def undisturbed(api: Api, streams: int) -> list[str]:
    """Return the texts of the streams without a fault. Raises SystemExit."""
    watched = [Watched(number) for number in range(streams)]
    await asyncio.gather(*(_follow(api, each) for each in watched))
    bad = [each.outcome for each in watched if each.outcome.end != "whole"]
    if bad:
        raise SystemExit(f"An undisturbed stream ended with {bad[0]}.")
    return [each.outcome.text for each in watched]


async def try_fault(
    cluster: Cluster, fault: NodeFault, expected: Sequence[str]
) -> NodeResult:
    """Inflict a fault on running streams; return what became of them.

    Raises NotPermitted.
    """
    watched = [Watched(number) for number in range(len(expected))]
    async with AsyncExitStack() as ending:
        streams = [asyncio.create_task(_follow(cluster.api, each)) for each in watched]
        ending.push_async_callback(_end, streams)
        await _begun(watched, streams)
        others, begin = OtherPrograms(), clock()
        async with fault.inflict(cluster):
            asking = asyncio.create_task(answers(_spared(cluster.api), _NEXT_LIMIT_S))
            ending.push_async_callback(_end, [asking])
            await asyncio.sleep(fault.seconds)
        next_s = await asking
        other_cores = others.cores
        await asyncio.wait(streams, timeout=PATIENCE_S)
    await cluster.start_missing()
    owners = await cluster.settle()
    return judge(fault.name, watched, expected, begin, next_s, owners, other_cores)


async def try_under_load(
    cluster: Cluster, fault: NodeFault, expected: Sequence[str]
) -> NodeResult:
    """Do what takes long, while each client sends one request after the other."""
    watched: list[Watched] = []
    is_over = asyncio.Event()

    async def client(number: int) -> None:
        while not is_over.is_set():
            watched.append(each := Watched(number))
            await asyncio.wait_for(_follow(cluster.api, each), PATIENCE_S)

    async with AsyncExitStack() as ending:
        clients = [asyncio.create_task(client(n)) for n in range(len(expected))]
        ending.push_async_callback(_end, clients)
        others, begin = OtherPrograms(), clock()
        async with fault.inflict(cluster):
            await asyncio.sleep(fault.seconds)
        is_over.set()
        next_s = await answers(_spared(cluster.api), _NEXT_LIMIT_S)
        other_cores = others.cores
        await asyncio.wait(clients, timeout=PATIENCE_S)
    owners = await cluster.settle()
    return judge(fault.name, watched, expected, begin, next_s, owners, other_cores)


def _spared(api: Api) -> Api:
    """Return the web processes that no fault strikes, as a balancer would choose."""
    return replace(api, base_urls=api.base_urls[1:])


async def _follow(api: Api, watched: Watched) -> None:
    watched.outcome = await follow(
        api,
        watched.number,
        MAX_TOKENS,
        key=uuid.uuid4().hex,
        on_text=lambda: watched.pieces.append(clock()),
    )


async def _begun(
    watched: Sequence[Watched], streams: Sequence[asyncio.Task[None]]
) -> None:
    """Return when every stream has begun, or one has ended early."""
    while not any(stream.done() for stream in streams):
        if all(len(each.pieces) >= _BEGUN_PIECES for each in watched):
            return
        await asyncio.sleep(0.02)


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def judge(
    fault: str,
    watched: Sequence[Watched],
    expected: Sequence[str],
    begin: float,
    next_s: float | None,
    owners: str,
    other_cores: float,
) -> NodeResult:
    """Return the result of a fault from its streams; ``begin`` is when it began."""
    counts, reasons = Counter[str](), Counter[str]()
    for each in watched:
        outcome, text = each.outcome, expected[each.number]
        if outcome.end != "whole":
            counts["lost"] += 1
            reasons[f"{outcome.end}: {outcome.reason}"] += 1
        elif outcome.text != text:
            counts["doubled" if len(outcome.text) > len(text) else "wrong"] += 1
    return NodeResult(
        fault=fault,
        streams=len(watched),
        lost=counts["lost"],
        wrong=counts["wrong"],
        doubled=counts["doubled"],
        pause_s=max((each.pause_s(begin) for each in watched), default=0.0),
        next_s=next_s,
        owners=owners,
        other_cores=other_cores,
        reasons=reasons,
    )
