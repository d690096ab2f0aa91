"""``python -m benchmarks targets``: throughput against ITL p95, for targets of the ITL.

The bare engine with each target, and llama-server if it is there, take turns in every
round. A ratio is to the engine without a target in the same round, so that a machine
whose speed drifts says as much.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.commands.compare import measure_all
from benchmarks.model import Conditions, put_model
from benchmarks.reporting.figures import summarize
from benchmarks.reporting.svg import svg
from benchmarks.systems.bare import Bare
from benchmarks.systems.llama_server import LlamaServer
from inference.engine.config.cpu_threads import physical_cores
from llm_manager.lib.plots import plot

if TYPE_CHECKING:
    from benchmarks.options.commands import TargetOptions
    from benchmarks.reporting.figures import Figures, Summary
    from benchmarks.systems import System


def measure(options: TargetOptions) -> int:
    """Measure, print and draw; return 1 if an answer was wrong."""
    ours = [Bare(_name(target), itl_target_ms=target) for target in options.targets]
    server = LlamaServer("llama-server", ())
    systems: list[System] = [*ours]
    if (how := server.missing()) is None:
        systems.append(server)
    else:
        Console(stderr=True).print(f"llama-server is left out: {how}.")
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as name:
        folder = Path(name)
        conditions = Conditions(
            model=put_model(folder / "models", options.quantization),
            n_threads=physical_cores(),
        )
        found = asyncio.run(
            measure_all(systems, options.workloads, options.rounds, conditions, folder)
        )
    summaries = summarize(found.measurements, ours[0].name)
    _show(summaries, ours[0].name)
    for workload in options.workloads:
        if options.plots is not None:
            of_it = [each for each in summaries if each.workload == workload.name]
            file = options.plots / f"itl-targets-{workload.name}.svg"
            file.write_text(_drawn(workload.name, of_it), encoding="utf-8")
    for failure in found.failures:
        print(failure)
    return 1 if found.failures else 0


def _name(target: int) -> str:
    return f"{target} ms" if target else "no target"


def _itl_s(figures: Figures) -> float:
    """Return the p95: of the time beside a newcomer, if that is what was measured."""
    return figures.get("beside_itl_p95_s", figures.get("itl_p95_s", 0.0))


def _show(summaries: list[Summary], baseline: str) -> None:
    table = Table(title=f"Medians; ratios within a round, to {baseline}")
    for title in ("workload", "ITL target", "tokens/s", "ratio", "ITL p50", "ITL p95"):
        table.add_column(title)
    table.add_column("TTFT p50")
    for each in summaries:
        figures = each.medians
        table.add_row(
            *(each.workload, each.system, f"{figures['tokens_per_s']:.0f}"),
            f"{each.ratios.get('tokens_per_s', 0.0):.2f}",
            f"{1000 * figures['itl_p50_s']:.0f} ms",
            f"{1000 * _itl_s(figures):.0f} ms",
            f"{1000 * figures['ttft_p50_s']:.0f} ms",
        )
    Console(width=120).print(table)


def _drawn(workload: str, summaries: list[Summary]) -> str:
    lines: dict[str, list[tuple[float, float]]] = {}
    for each in summaries:
        name = "llama-server" if each.system == "llama-server" else "ITL targets"
        point = (1000 * _itl_s(each.medians), each.medians["tokens_per_s"])
        lines.setdefault(name, []).append(point)
    chart = plot(
        f"{workload}: tokens/s", lines, lambda value: f"{value:.0f}", unit="ms"
    )
    return svg(chart, across="ITL p95, ms")
