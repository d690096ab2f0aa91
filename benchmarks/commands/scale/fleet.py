"""``python -m benchmarks fleet``: fleets of 1 to 1,000 nodes in simulated time.

Each node has a real engine core, requests are routed by the real choice of a replica;
steps, web processes, Redis and the database are costs. Where one of them is busy all
the time, requests wait for it, and the table shows which it is.
"""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.fleet.costs import MACHINES, Costs
from benchmarks.fleet.simulation import Fleet, Outcome, Simulation
from benchmarks.fleet.traffic import MEAN_ANSWER
from benchmarks.reporting.figures import percentile
from benchmarks.reporting.svg import svg
from llm_manager.lib.plots import plot

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.options.commands import FleetOptions

#: How busy web processes are to be, for their number to be chosen.
_WEB_LOAD = 0.6


def measure(options: FleetOptions) -> int:
    """Simulate, print and draw; return 0."""
    fleets = [_fleet(nodes, options) for nodes in options.nodes]
    with ProcessPoolExecutor(options.processes) as pool:
        runs = [
            pool.submit(_run, fleet, options.requests, options.seed) for fleet in fleets
        ]
        outcomes = [run.result() for run in runs]
    _show(fleets, outcomes)
    if options.plots is not None:
        _draw(options.plots, options.machine, fleets, outcomes)
    return 0


def _fleet(nodes: int, options: FleetOptions) -> Fleet:
    machine = MACHINES[options.machine]
    per_s = nodes * machine.per_s
    return Fleet(
        nodes=nodes,
        replicas=min(options.replicas, nodes),
        webs=options.webs or web_processes(per_s, Costs()),
        redis=options.redis,
        machine=machine,
        per_s=per_s,
        bound=options.bound,
    )


def web_processes(per_s: float, costs: Costs) -> int:
    """Return how many web processes carry so many requests a second.

    As if each token came in a frame of its own, which with many of them is nearly so.
    """
    request_s = costs.web_begin_s + costs.web_end_s
    request_s += MEAN_ANSWER * (costs.web_token_s + costs.web_frame_s)
    return math.ceil(per_s * request_s / _WEB_LOAD)


def _run(fleet: Fleet, requests: int, seed: int) -> Outcome:
    return Simulation(fleet, requests=requests, seed=seed).run()


def _show(fleets: list[Fleet], outcomes: list[Outcome]) -> None:
    table = Table(title="Fleets in simulated time")
    for title in (
        *("nodes", "web", "Redis", "requests/s", "tokens/s", "TTFT p50", "p95"),
        *("ITL p95", "cached", "web busy", "Redis busy", "database busy"),
    ):
        table.add_column(title, justify="right")
    for fleet, outcome in zip(fleets, outcomes, strict=True):
        table.add_row(
            *(str(fleet.nodes), str(fleet.webs), str(fleet.redis)),
            f"{outcome.requests / outcome.took_s:.0f}",
            f"{outcome.tokens / outcome.took_s:.0f}",
            *(_ms(percentile(outcome.began_s, p)) for p in (50, 95)),
            _ms(percentile(outcome.gaps_s, 95)),
            f"{100 * outcome.cached_share:.0f} %",
            *(
                f"{100 * share:.1f} %"
                for share in (outcome.web, outcome.redis, outcome.database)
            ),
        )
    Console(width=140).print(table)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def _draw(
    folder: Path, machine: str, fleets: list[Fleet], outcomes: list[Outcome]
) -> None:
    """Draw how busy each part is, and the time to the first token, by nodes."""
    pairs = list(zip(fleets, outcomes, strict=True))
    busy = {
        "web": [(float(f.nodes), 100 * o.web) for f, o in pairs],
        "Redis": [(float(f.nodes), 100 * o.redis) for f, o in pairs],
        "database": [(float(f.nodes), 100 * o.database) for f, o in pairs],
    }
    first = {
        "p95": [(float(f.nodes), 1000 * percentile(o.began_s, 95)) for f, o in pairs],
        "p50": [(float(f.nodes), 1000 * percentile(o.began_s, 50)) for f, o in pairs],
    }
    for name, title, lines in (
        ("busy", "percent of its time that each is busy", busy),
        ("ttft", "time to the first token, ms", first),
    ):
        chart = plot(title, lines, lambda value: f"{value:.0f}", unit="nodes")
        file = folder / f"fleet-{machine}-{name}.svg"
        file.write_text(svg(chart, across="nodes"), encoding="utf-8")
