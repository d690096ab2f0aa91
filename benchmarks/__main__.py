"""Measure output tokens per second, TTFT and ITL, by number of streams.

Every round runs each number of streams once, one model after the other, so that
a machine whose speed drifts is unfair to none; the medians are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.bare import BareEngine
from benchmarks.load import MAX_TOKENS, Round, run_round
from benchmarks.server import SAMPLE, put_models, running

if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> None:
    """Run the benchmark and print its table."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as name:
        folder = Path(name)
        models = put_models(folder / "models")
        with running(folder) as server:

            def measure(model: str, streams: int) -> Round:
                return asyncio.run(
                    run_round(
                        host=server.host,
                        port=server.port,
                        key=server.key,
                        model=model,
                        streams=streams,
                    )
                )

            rounds = collect(measure, sorted(models), options)
        bare = {
            model: bare_rates(path, options) for model, path in sorted(models.items())
        }
    rows = [
        summary(model, streams, rounds, bare)
        for model in sorted(models)
        for streams in options.streams
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows, options.rounds)


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument(
        "--streams", type=int, nargs="+", default=[1, 4, 16], help="streams at once"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def collect(
    measure: object, models: Sequence[str], options: argparse.Namespace
) -> dict[tuple[str, int], list[Round]]:
    """Run all rounds, interleaved; return them by model and number of streams."""
    assert callable(measure)
    rounds: dict[tuple[str, int], list[Round]] = {}
    for model in models:
        measure(model, 1)  # loads the model
    plan = [
        (model, streams)
        for _ in range(options.rounds)
        for streams in options.streams
        for model in models
    ]
    console = Console(stderr=True)
    for case in track(plan, "Over HTTP", console=console, transient=True):
        rounds.setdefault(case, []).append(measure(*case))
    return rounds


def bare_rates(path: Path, options: argparse.Namespace) -> dict[int, float]:
    """Return the bare loop's median tokens per second by number of streams."""
    engine = BareEngine(path, max(options.streams))
    engine.tokens_per_s(1)
    rates: dict[int, list[float]] = {}
    for _ in range(options.rounds):
        for streams in options.streams:
            rates.setdefault(streams, []).append(engine.tokens_per_s(streams))
    engine.close()
    return {streams: statistics.median(values) for streams, values in rates.items()}


def summary(
    model: str,
    streams: int,
    rounds: dict[tuple[str, int], list[Round]],
    bare: dict[str, dict[int, float]],
) -> dict[str, float | str]:
    """Return the medians of one case, with its ratios."""
    here = rounds[model, streams]
    one = rounds[model, min(count for name, count in rounds if name == model)]
    rate = statistics.median(r.tokens_per_s for r in here)
    return {
        "model": model,
        "streams": streams,
        "tokens_per_s": rate,
        "times_one_stream": statistics.median(
            r.tokens_per_s / o.tokens_per_s for r, o in zip(here, one, strict=True)
        ),
        "bare_loop_tokens_per_s": bare[model][streams],
        "of_bare_loop": rate / bare[model][streams],
        "ttft_p50_ms": 1000 * statistics.median(r.ttft_p50_s for r in here),
        "itl_p50_ms": 1000 * statistics.median(r.itl_p50_s for r in here),
    }


def show(rows: list[dict[str, float | str]], rounds: int) -> None:
    """Print the table."""
    table = Table(title=f"Medians of {rounds} rounds, {MAX_TOKENS} tokens an answer")
    table.add_column("model", no_wrap=True)
    for column in ("streams", "tok/s", "x one", "bare", "of bare", "TTFT ms", "ITL ms"):
        table.add_column(column, justify="right")
    formats = (".0f", ".1f", ".2f", ".1f", ".2f", ".0f", ".1f")
    for row in rows:
        model, *figures = row.values()
        table.add_row(
            str(model).removeprefix(SAMPLE).lstrip("."),
            *(
                format(figure, how)
                for figure, how in zip(figures, formats, strict=True)
            ),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
