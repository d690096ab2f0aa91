"""``python -m benchmarks interference``: what a long prompt does to running streams.

On the bare engine some streams decode; after a few tokens a long prompt arrives. The
gaps between the streams' tokens from then until the prompt's first token are their
inter-token latency beside a prefill. Every run does the same work, so its tokens per
second are the price. Variants of the engine take turns, round by round, in one
process: what else the machine does meets all of them. ``--cpu-time`` is for machines
that are busy with something else: one thread computes, and its CPU time is the clock.
With ``--targets`` the variants are targets of the ITL.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.model import END_TOKENS, Conditions, put_model
from benchmarks.reporting.figures import percentile
from benchmarks.workloads.prompts import text
from benchmarks.workloads.serving import QUESTION_TOKENS
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.options.commands import InterferenceOptions
    from inference.engine import EngineCore
    from inference.engine.llama import LlamaBackend

#: Tokens of each stream, before the prompt arrives and in all.
_TOKENS_BEFORE = 16
_TOKENS = 96


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a variant; times in seconds.

    ``gaps`` are those of the streams beside the prefill, ``alone`` those before it.
    """

    alone: list[float]
    gaps: list[float]
    ttft_s: float
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Bench:
    """A variant of the engine, and how its time is measured."""

    core: EngineCore
    backend: LlamaBackend
    clock: Callable[[], float]


def measure(options: InterferenceOptions) -> int:
    """Measure and print; return the exit status."""
    # Asked first: where OpenMP binds threads, what computes may see one core only.
    n_threads = 1 if options.cpu_time else physical_cores()
    from inference.engine import EngineConfig, EngineCore
    from inference.engine.llama import LlamaBackend

    clock = time.thread_time if options.cpu_time else time.perf_counter
    with (
        tempfile.TemporaryDirectory(prefix="llmm-bench-") as folder,
        ExitStack() as stack,
    ):
        conditions = Conditions(
            model=put_model(Path(folder) / "models", options.quantization),
            n_threads=n_threads,
        )
        config = EngineConfig(
            paths=(str(conditions.model),),
            n_ctx=conditions.n_ctx,
            n_seq_max=max(options.streams + 1, 4),
            n_batch=conditions.n_batch,
            n_threads=conditions.n_threads,
        )
        variants = {
            "one context": replace(config, prefill_context=False),
            "prefill context": config,
        }
        if options.targets:
            variants = {
                f"{target} ms": replace(config, itl_target_ms=target)
                for target in options.targets
            }
        cores = {}
        for name, variant in variants.items():
            backend = LlamaBackend(variant)
            cores[name] = Bench(EngineCore(backend, clock=clock), backend, clock)
            stack.callback(backend.close)
            cores[name].core.warm_up()
            run(cores[name], options, "warm-up")
        runs: dict[str, list[Run]] = {name: [] for name in cores}
        for number in range(options.rounds):
            # Each goes first in every other round.
            for name in list(cores)[:: -1 if number % 2 else 1]:
                runs[name].append(run(cores[name], options, f"round-{number}"))
    _show(runs, options)
    return 0


def run(bench: Bench, options: InterferenceOptions, salt: str) -> Run:
    """Return the times of one run; the engine is idle before and after."""
    from inference.engine import SamplingParams
    from inference.engine.request import GenerationRequest

    core, clock = bench.core, bench.clock
    bias = tuple((token, -100.0) for token in END_TOKENS)

    def add(name: str, prompt_tokens: int, max_tokens: int) -> None:
        prompt = bench.backend.tokenizer.tokenize(
            text(prompt_tokens, f"{salt}-{name}"), special=True
        )
        params = SamplingParams(temperature=0, max_tokens=max_tokens, logit_bias=bias)
        core.add(
            GenerationRequest(request_id=name, prompt_token_ids=prompt, params=params)
        )

    counts = {f"stream-{number}": 0 for number in range(options.streams)}
    last: dict[str, float] = {}
    alone: list[float] = []
    gaps: list[float] = []
    for name in counts:
        add(name, QUESTION_TOKENS, _TOKENS)
    start = clock()
    arrived_at = answered_at = 0.0
    while core.has_work:
        if not arrived_at and min(counts.values()) >= _TOKENS_BEFORE:
            arrived_at = clock()
            add("prompt", options.prompt_tokens, 1)
        outputs = core.step()
        now = clock()
        for output in outputs:
            if not output.tokens:
                continue
            if output.request_id == "prompt":
                answered_at = now
                continue
            if output.request_id in last and not answered_at:
                (gaps if arrived_at else alone).append(now - last[output.request_id])
            last[output.request_id] = now
            counts[output.request_id] += len(output.tokens)
    tokens = sum(counts.values()) + options.prompt_tokens
    return Run(alone, gaps, answered_at - arrived_at, tokens / (clock() - start))


def _show(runs: dict[str, list[Run]], options: InterferenceOptions) -> None:
    rows: dict[str, Callable[[Run], float]] = {
        "ITL p50 beside the prefill, ms": lambda r: 1000 * percentile(r.gaps, 50),
        "ITL p95 beside the prefill, ms": lambda r: 1000 * percentile(r.gaps, 95),
        "ITL max beside the prefill, ms": lambda r: 1000 * max(r.gaps),
        "ITL p50 before it, ms": lambda r: 1000 * percentile(r.alone, 50),
        "prompt's time to first token, ms": lambda r: 1000 * r.ttft_s,
        "all tokens per second": lambda r: r.tokens_per_s,
    }
    table = Table(
        title=f"{options.streams} streams beside a prompt of {options.prompt_tokens} "
        f"tokens, medians of {options.rounds} rounds"
    )
    table.add_column("")
    base, *others = runs
    for name in runs:
        table.add_column(name, justify="right")
    for name in others:
        table.add_column(f"{name} to {base}", justify="right")
    for title, figure in rows.items():
        figures = {name: [figure(one) for one in of] for name, of in runs.items()}
        cells = [f"{statistics.median(of):.1f}" for of in figures.values()]
        for name in others:
            ratios = [
                ours / theirs
                for ours, theirs in zip(figures[name], figures[base], strict=True)
            ]
            cells.append(
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            )
        table.add_row(title, *cells)
    Console().print(table)
