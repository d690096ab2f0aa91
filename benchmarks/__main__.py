"""Measure output tokens per second, TTFT and ITL, by number of streams.

Every round runs each number of streams once, one model after the other, over HTTP
and on the bare engine loop, so that a machine whose speed drifts is unfair to
none; the medians are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.bare import BareEngine
from benchmarks.load import MAX_TOKENS, Round, run_round
from benchmarks.server import SAMPLE, put_models, running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main() -> None:
    """Run the benchmark and print its table."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as name:
        folder = Path(name)
        models = put_models(folder / "models")
        with running(folder) as server, ExitStack() as stack:
            bare = {}
            for model, path in models.items():
                bare[model] = BareEngine(path, max(options.streams))
                stack.callback(bare[model].close)

            def measure(model: str, streams: int) -> Pair:
                over_http = asyncio.run(
                    run_round(
                        host=server.host,
                        port=server.port,
                        key=server.key,
                        model=model,
                        streams=streams,
                    )
                )
                return Pair(over_http, bare[model].tokens_per_s(streams))

            pairs = collect(measure, sorted(models), options)
    rows = [
        summary(model, streams, pairs)
        for model in sorted(models)
        for streams in options.streams
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows, options.rounds)


@dataclass(frozen=True, slots=True)
class Pair:
    """The same load over HTTP and, right after it, on the bare engine loop."""

    http: Round
    bare_tokens_per_s: float


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
    measure: Callable[[str, int], Pair],
    models: Sequence[str],
    options: argparse.Namespace,
) -> dict[tuple[str, int], list[Pair]]:
    """Run all rounds, interleaved; return them by model and number of streams."""
    pairs: dict[tuple[str, int], list[Pair]] = {}
    for model in models:
        measure(model, 1)  # loads the model
    plan = [
        (model, streams)
        for _ in range(options.rounds)
        for streams in options.streams
        for model in models
    ]
    console = Console(stderr=True)
    for case in track(plan, "Measuring", console=console, transient=True):
        pairs.setdefault(case, []).append(measure(*case))
    return pairs


def summary(
    model: str, streams: int, pairs: dict[tuple[str, int], list[Pair]]
) -> dict[str, float | str]:
    """Return the medians of one case, with its ratios round by round."""
    here = pairs[model, streams]
    one = pairs[model, min(count for name, count in pairs if name == model)]
    median = statistics.median
    return {
        "model": model,
        "streams": streams,
        "tokens_per_s": median(pair.http.tokens_per_s for pair in here),
        "times_one_stream": median(
            pair.http.tokens_per_s / first.http.tokens_per_s
            for pair, first in zip(here, one, strict=True)
        ),
        "bare_loop_tokens_per_s": median(pair.bare_tokens_per_s for pair in here),
        "of_bare_loop": median(
            pair.http.tokens_per_s / pair.bare_tokens_per_s for pair in here
        ),
        "ttft_p50_ms": 1000 * median(pair.http.ttft_p50_s for pair in here),
        "itl_p50_ms": 1000 * median(pair.http.itl_p50_s for pair in here),
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
