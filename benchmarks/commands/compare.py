"""``python -m benchmarks``: every system under the same workloads, round by round."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from benchmarks.client.answers import WrongAnswer, clock
from benchmarks.model import Conditions, put_model
from benchmarks.reporting.figures import Measurement, summarize
from benchmarks.reporting.report import Report, print_json, write_json
from benchmarks.reporting.tables import print_tables
from benchmarks.systems import BASELINES, SYSTEMS
from benchmarks.systems.usage import measured
from benchmarks.workloads.serving import Burst
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.options.commands import CompareOptions
    from benchmarks.reporting.figures import Figures
    from benchmarks.systems import Running, System
    from benchmarks.workloads.serving import Workload

#: A run that takes longer hangs.
_RUN_TIMEOUT_S = 900
_IDLE_S = 1.0
#: Loads the model where that waits for a request, and lets a pacer learn.
_WARM_UP = Burst("warm-up", streams=4, prompt_tokens=(200,), max_tokens=(24,))


@dataclass(slots=True)
class Comparison:
    """The measurements, and the failures."""

    measurements: list[Measurement] = field(default_factory=list)
    #: By system: the share of one core that it uses while idle.
    idle_cpu: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def compare(options: CompareOptions) -> int:
    """Measure and print; return the exit status: 1 if an answer was wrong."""
    console = Console(stderr=True)
    chosen = [system for system in SYSTEMS if system.name in options.systems]
    left_out = {
        system.name: how
        for system in chosen
        for how in [system.missing()]
        if how is not None
    }
    for name, how in left_out.items():
        console.print(f"{name} is left out: {how}.", highlight=False)
    systems = [system for system in chosen if system.name not in left_out]
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as name:
        folder = Path(name)
        conditions = Conditions(
            model=put_model(folder / "models", options.quantization),
            n_threads=physical_cores(),
        )
        comparison = asyncio.run(
            measure_all(systems, options.workloads, options.rounds, conditions, folder)
        )
    baseline = next(
        (b for b in BASELINES if b in {system.name for system in systems}), None
    )
    report = Report(
        conditions=conditions,
        rounds=options.rounds,
        baseline=baseline,
        left_out=left_out,
        idle_cpu=comparison.idle_cpu,
        measurements=comparison.measurements,
        summaries=summarize(comparison.measurements, baseline),
        failures=comparison.failures,
    )
    if options.output:
        write_json(report, options.output)
    if options.json:
        print_json(report)
    else:
        print_tables(report)
    for failure in comparison.failures:
        print(failure, file=sys.stderr)
    return 1 if comparison.failures else 0


async def measure_all(
    systems: Sequence[System],
    workloads: Sequence[Workload],
    rounds: int,
    conditions: Conditions,
    folder: Path,
) -> Comparison:
    """Start all systems, run all rounds; a failed run is reported and left out.

    All stay alive meanwhile, and one at a time has work: starting them again would
    take longer than measuring, and stopping ours by a signal would look to its
    supervisor like a hang. What they take while idle is measured instead.
    """
    result = Comparison()
    async with AsyncExitStack() as stack:
        running: dict[str, Running] = {}
        for system in systems:
            home = folder / system.name
            home.mkdir()
            running[system.name] = await stack.enter_async_context(
                system.running(conditions, home)
            )
            try:
                await _run(running[system.name], _WARM_UP, "")
            except (WrongAnswer, TimeoutError, OSError) as error:
                raise SystemExit(f"{system.name} cannot be used: {error}") from None
        result.idle_cpu = await _idle_cpu(running)
        plan = [
            (number, workload, system)
            for number in range(rounds)
            for workload in workloads
            # Each round begins with another, so that none is always after the same.
            for system in _rotated(systems, number)
            if system.num_keys >= workload.num_keys
        ]
        console = Console(stderr=True)
        for number, workload, system in track(
            plan, "Measuring", console=console, transient=True, refresh_per_second=1
        ):
            try:
                figures = await _run(running[system.name], workload, f"r{number}")
            except (WrongAnswer, TimeoutError, OSError) as error:
                result.failures.append(
                    f"{system.name} failed in {workload.name}, round {number + 1}: "
                    f"{type(error).__name__}: {error}"
                )
                continue
            result.measurements.append(
                Measurement(number, workload.name, system.name, figures)
            )
    return result


async def _run(running: Running, workload: Workload, salt: str) -> Figures:
    """Return the figures of one run. Raises WrongAnswer, TimeoutError, OSError."""
    try:
        async with (
            asyncio.timeout(_RUN_TIMEOUT_S),
            measured(running.processes) as usage,
        ):
            start, client_start = clock(), time.process_time()
            figures = await workload.run(running.target, f"{workload.name}-{salt}")
            figures["wall_s"] = clock() - start
            figures["cpu_client_s"] = time.process_time() - client_start
    except ExceptionGroup as errors:
        # The others follow from the first.
        raise errors.exceptions[0] from None
    return {**figures, **usage.figures(figures["tokens"])}


async def _idle_cpu(running: dict[str, Running]) -> dict[str, float]:
    """Return the share of a core that each system uses while none has work."""
    before = {name: one.processes.cpu_s() for name, one in running.items()}
    start = clock()
    await asyncio.sleep(_IDLE_S)
    return {
        name: (sum(one.processes.cpu_s().values()) - sum(before[name].values()))
        / (clock() - start)
        for name, one in running.items()
    }


def _rotated(systems: Sequence[System], by: int) -> list[System]:
    by %= max(len(systems), 1)
    return [*systems[by:], *systems[:by]]
