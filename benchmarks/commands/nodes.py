"""``python -m benchmarks nodes``: what faults of several nodes cost, as a table."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.faults.network import NotPermitted
from benchmarks.faults.page import PageTable
from benchmarks.model import Conditions, put_model
from benchmarks.nodes.cluster import cluster
from benchmarks.nodes.faults import node_faults
from benchmarks.nodes.trial import (
    MAX_TOKENS,
    try_fault,
    try_under_load,
    undisturbed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.nodes.cluster import Cluster
    from benchmarks.nodes.faults import NodeFault
    from benchmarks.nodes.trial import NodeResult
    from benchmarks.options.commands import NodesOptions

TABLE = PageTable(
    "nodes",
    (
        *("streams", "lost", "wrong", "doubled", "longest pause"),
        *("new request answered after", "other programs"),
    ),
    f"Greedy streams of {MAX_TOKENS} tokens, two web processes, and three nodes of "
    "which two have the model;",
)


def row(result: NodeResult) -> str:
    """Return a result as a row of the table."""
    counts = (result.streams, result.lost, result.wrong, result.doubled)
    cells = (
        result.fault,
        *map(str, counts),
        f"{result.pause_s:.1f} s",
        "never" if result.next_s is None else f"{result.next_s:.1f} s",
        f"{result.other_cores:.1f} cores",
    )
    return f"| {' | '.join(cells)} |"


def inflict(options: NodesOptions) -> int:
    """Inflict the faults, print what came of them; return 1 if anything was lost."""
    console = Console(highlight=False)
    results: list[NodeResult] = []
    with tempfile.TemporaryDirectory(prefix="llmm-nodes-") as name:
        folder = Path(name)
        faults = node_faults(folder / "later")
        order = [fault.name for fault in faults]

        def found(result: NodeResult) -> None:
            results.append(result)
            console.print(row(result), markup=False, soft_wrap=True)
            if options.output is not None:
                TABLE.put(options.output, row(result), result.reasons, order)

        chosen = [fault for fault in faults if options.has(fault.name)]
        try:
            asyncio.run(_inflict(options, chosen, folder, found, console))
        except FileNotFoundError as error:
            console.print(f"Nothing is tried: {error}", markup=False)
            return 1
    bad = [result for result in results if not result.is_good]
    for result in bad:
        console.print(f"WRONG: {result}", markup=False)
    return 1 if bad else 0


async def _inflict(
    options: NodesOptions,
    faults: list[NodeFault],
    folder: Path,
    found: Callable[[NodeResult], None],
    console: Console,
) -> None:
    """Call ``found`` with each result as it comes."""
    conditions = Conditions(
        model=put_model(folder / "models", options.quantization),
        n_threads=1,
        # One node is enough for all while the other ones are away.
        n_seq_max=options.streams + 4,
        n_ctx=512,
    )
    for fails_over in (False, True):
        chosen = [fault for fault in faults if fault.needs_sentinel is fails_over]
        if chosen:
            home = folder / ("sentinel" if fails_over else "redis")
            home.mkdir()
            async with cluster(conditions, home, fails_over=fails_over) as nodes:
                await _try(nodes, options.streams, chosen, found, console)


async def _try(
    nodes: Cluster,
    streams: int,
    faults: list[NodeFault],
    found: Callable[[NodeResult], None],
    console: Console,
) -> None:
    if nodes.places.shared:
        console.print(
            f"All parts share one machine ({nodes.places.shared}), so nothing is "
            "cut off from anything.",
            markup=False,
        )
    # The first run loads the model, the second one has all replicas.
    await undisturbed(nodes.api, streams)
    await nodes.settle()
    expected = await undisturbed(nodes.api, streams)
    for fault in faults:
        attempt = try_under_load if fault.takes_long else try_fault
        try:
            found(await attempt(nodes, fault, expected))
        except NotPermitted as error:
            console.print(f"{fault.name} is left out: {error}", markup=False)
