"""``python -m benchmarks faults``: what clients see of each fault, as a table."""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.client.http_client import HttpTarget
from benchmarks.faults.clients import Api
from benchmarks.faults.fault import one_machine
from benchmarks.faults.network import NotPermitted
from benchmarks.faults.trial import MAX_TOKENS, STREAMS, try_fault, undisturbed
from benchmarks.faults.two_nodes import NODE_FAULTS, two_nodes
from benchmarks.model import Conditions, put_model
from benchmarks.systems.ours import Ours
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.faults.trial import Result
    from benchmarks.options import FaultOptions

#: The table in the page is between these lines.
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
#: Room for the next request beside the streams.
_N_SEQ_MAX = STREAMS + 4


def inflict(options: FaultOptions) -> int:
    """Inflict the faults, print what came of them; return 1 if anything was lost."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="llmm-faults-") as name:
        results = asyncio.run(_results(options, Path(name), console))
    bad = [result for result in results if not result.is_good]
    for result in bad:
        console.print(f"WRONG: {result}", markup=False)
    return 1 if bad else 0


async def _results(
    options: FaultOptions, folder: Path, console: Console
) -> list[Result]:
    conditions = Conditions(
        model=put_model(folder / "models", options.quantization),
        n_threads=physical_cores(),
        n_seq_max=_N_SEQ_MAX,
    )
    results: list[Result] = []
    for one in (
        _on_one_machine(options, conditions, folder),
        _on_nodes(options, conditions, folder, console),
    ):
        async for result in one:
            results.append(result)
            console.print(row(result), markup=False)
            if options.output is not None:
                write_table(options.output, results)
    return results


async def _on_one_machine(
    options: FaultOptions, conditions: Conditions, folder: Path
) -> AsyncIterator[Result]:
    """Try each fault on the same server."""
    home = folder / "server"
    home.mkdir()
    async with Ours(num_keys=1).running(conditions, home) as running:
        target = running.target
        assert isinstance(target, HttpTarget)
        api = Api((f"http://127.0.0.1:{target.port}",), target.keys[0], target.model)
        # The first run loads the model and fills the prefix cache.
        await undisturbed(api)
        expected = await undisturbed(api)
        database = home / "db.sqlite3"
        for fault in one_machine(running.processes, database, options.seconds):
            if _is_chosen(options, fault.name):
                yield await try_fault(api, fault, expected)


async def _on_nodes(
    options: FaultOptions, conditions: Conditions, folder: Path, console: Console
) -> AsyncIterator[Result]:
    """Try each fault on two nodes of its own."""
    for number, name in enumerate(NODE_FAULTS):
        if not _is_chosen(options, name):
            continue
        home = folder / f"nodes{number}"
        home.mkdir()
        try:
            async with two_nodes(conditions, home) as nodes:
                # The first run fills the prefix cache.
                await undisturbed(nodes.api)
                expected = await undisturbed(nodes.api)
                result = await try_fault(nodes.api, nodes.fault(name), expected)
        except (NotPermitted, FileNotFoundError) as error:
            console.print(f"Two nodes are left out: {error}", markup=False)
            return
        yield result


def _is_chosen(options: FaultOptions, name: str) -> bool:
    return not options.only or any(word in name for word in options.only)


def row(result: Result) -> str:
    """Return a result as a row of the table."""
    next_s = "none" if result.next_s is None else f"{result.next_s:.1f} s"
    counts = (result.right, result.wrong, result.refused, result.cut, result.hung)
    cells = (result.fault, *map(str, counts), next_s)
    return f"| {' | '.join(cells)} |"


def table(results: Sequence[Result]) -> str:
    """Return the results as a table in Markdown, with where they come from."""
    reasons = sorted({reason for result in results for reason in result.reasons})
    lines = [
        f"{STREAMS} greedy streams of {MAX_TOKENS} tokens on {os.cpu_count()} cores "
        f"({platform.machine()}), the sample model:",
        "",
        "| fault | right | wrong | refused | cut | hung | next answer after |",
        "|---|--:|--:|--:|--:|--:|--:|",
        *map(row, results),
    ]
    if reasons:
        lines += ["", "What the refused were answered:", ""]
        lines += [f"* {reason}" for reason in reasons]
    return "\n".join(lines)


def write_table(page: Path, results: Sequence[Result]) -> None:
    """Write the table into a page, between the two marks."""
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n{table(results)}\n{END}{tail}", encoding="utf-8")
