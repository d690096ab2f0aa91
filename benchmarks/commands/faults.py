"""``python -m benchmarks faults``: what clients see of each fault, as a table."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.client.http_client import HttpTarget
from benchmarks.faults.clients import Api
from benchmarks.faults.fault import Place, one_machine
from benchmarks.faults.network import NotPermitted
from benchmarks.faults.page import FAULTS, row
from benchmarks.faults.small_disk import small_disk
from benchmarks.faults.trial import STREAMS, try_fault, undisturbed
from benchmarks.faults.two_nodes import NODE_FAULTS, two_nodes
from benchmarks.model import Conditions, put_model
from benchmarks.systems.ours import Ours
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.faults.fault import Fault
    from benchmarks.faults.trial import Result
    from benchmarks.options.commands import FaultOptions

#: Room for the next request beside the streams.
_N_SEQ_MAX = STREAMS + 4


def inflict(options: FaultOptions) -> int:
    """Inflict the faults, print what came of them; return 1 if anything was lost."""
    console = Console(highlight=False)
    faults = one_machine(options.seconds)
    order = [*(fault.name for fault in faults), *NODE_FAULTS]
    results: list[Result] = []

    def found(result: Result) -> None:
        results.append(result)
        console.print(row(result), markup=False, soft_wrap=True)
        if options.output is not None:
            FAULTS.put(options.output, row(result), result.reasons, order)

    with tempfile.TemporaryDirectory(prefix="llmm-faults-") as name:
        asyncio.run(_inflict(options, faults, Path(name), found, console))
    bad = [result for result in results if not result.is_good]
    for result in bad:
        console.print(f"WRONG: {result}", markup=False)
    return 1 if bad else 0


async def _inflict(
    options: FaultOptions,
    faults: list[Fault],
    folder: Path,
    found: Callable[[Result], None],
    console: Console,
) -> None:
    """Call ``found`` with each result as it comes."""
    conditions = Conditions(
        model=put_model(folder / "models", options.quantization),
        n_threads=physical_cores(),
        n_seq_max=_N_SEQ_MAX,
    )
    chosen = [fault for fault in faults if options.has(fault.name)]
    if chosen:
        (folder / "server").mkdir()
        await _on_one_machine(chosen, conditions, folder / "server", found, console)
    for number, name in enumerate(filter(options.has, NODE_FAULTS)):
        home = folder / f"nodes{number}"
        home.mkdir()
        try:
            async with two_nodes(conditions, home) as nodes:
                # The first run fills the prefix cache.
                await undisturbed(nodes.api)
                expected = await undisturbed(nodes.api)
                fault, place = nodes.fault(name), Place(nodes.processes, home)
                found(await try_fault(nodes.api, fault, expected, place))
        except (NotPermitted, FileNotFoundError) as error:
            console.print(f"Two nodes are left out: {error}", markup=False)
            return


async def _on_one_machine(
    faults: list[Fault],
    conditions: Conditions,
    home: Path,
    found: Callable[[Result], None],
    console: Console,
) -> None:
    """Try each fault on the same server."""
    with small_disk(home) as is_small:
        async with Ours(num_keys=1).running(conditions, home) as running:
            target = running.target
            assert isinstance(target, HttpTarget)
            url = f"http://127.0.0.1:{target.port}"
            api = Api((url,), target.keys[0], target.model)
            # The first run loads the model and fills the prefix cache.
            await undisturbed(api)
            expected = await undisturbed(api)
            place = Place(running.processes, home)
            for fault in faults:
                if fault.fills and not is_small:
                    console.print(f"{fault.name} is left out: no disk can be mounted.")
                    continue
                found(await try_fault(api, fault, expected, place))
