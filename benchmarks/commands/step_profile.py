"""``python -m benchmarks profile``: where the time of the engine's steps goes.

Calls into llama.cpp are timed at the bindings and sampling at its seam; what is
left of a step is the rest of Python. A profiler would slow Python down and not C,
and so say less.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.client.answers import clock
from benchmarks.model import END_TOKENS, Conditions, put_model
from benchmarks.workloads.prompts import text
from benchmarks.workloads.serving import MAX_TOKENS, QUESTION_TOKENS
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.options.commands import ProfileOptions
    from inference.engine.llama import LlamaBackend

#: The beginning of a binding's name, and what it is for; the first that fits.
_PARTS = (
    ("llama_decode", "llama_decode"),
    ("llama_sampler_", "sampling"),
    ("llama_", "other C calls"),
)
_SAMPLING = "sampling"
_PYTHON = "other Python"


@dataclass(slots=True)
class Stopwatch:
    """Seconds by part, of all calls so far; a call within a call counts for itself."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    #: For each running call, the seconds of the calls within it.
    _within: list[float] = field(default_factory=lambda: [0.0])

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose calls count for a part."""

        @wraps(function)
        def call(*arguments: Any) -> Any:
            self._within.append(0.0)
            start = clock()
            try:
                return function(*arguments)
            finally:
                seconds = clock() - start
                self.seconds[part] += seconds - self._within.pop()
                self._within[-1] += seconds

        return call


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Mean seconds of one decoding step, by part."""

    streams: int
    steps: int
    parts: dict[str, float]


def part_of(binding: str) -> str | None:
    """Return what a function of the bindings is for; None for what is no call."""
    return next((part for prefix, part in _PARTS if binding.startswith(prefix)), None)


def profile(options: ProfileOptions) -> int:
    """Measure and print; return the exit status."""
    stopwatch = Stopwatch()
    # Asked first: where OpenMP binds threads, what computes may see one core only.
    n_threads = physical_cores()
    # Before the engine is imported: it may take functions out of the module.
    time_bindings(stopwatch)
    from inference.engine import EngineConfig
    from inference.engine.llama import LlamaBackend
    from inference.engine.llama.sampling.sampler import SequenceSampler

    SequenceSampler.sample = stopwatch.timed(  # type: ignore[method-assign]
        _SAMPLING, SequenceSampler.sample
    )
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as folder:
        conditions = Conditions(
            model=put_model(Path(folder) / "models", options.quantization),
            n_threads=n_threads,
        )
        backend = LlamaBackend(
            EngineConfig(
                paths=(str(conditions.model),),
                n_ctx=conditions.n_ctx,
                n_seq_max=conditions.n_seq_max,
                n_batch=conditions.n_batch,
                n_threads=conditions.n_threads,
            )
        )
        try:
            decode_times(backend, max(options.streams), stopwatch)  # warms up
            times = [decode_times(backend, n, stopwatch) for n in options.streams]
        finally:
            backend.close()
    _show(times)
    return 0


def time_bindings(stopwatch: Stopwatch) -> None:
    """Time all calls of the bindings from now on."""
    import llama_cpp

    for name in dir(llama_cpp):
        part = part_of(name)
        function = getattr(llama_cpp, name)
        # Types have such names as well, and those must stay types.
        if part is not None and callable(function) and not isinstance(function, type):
            setattr(llama_cpp, name, stopwatch.timed(part, function))


def decode_times(
    backend: LlamaBackend, streams: int, stopwatch: Stopwatch
) -> StepTimes:
    """Return the times of the steps in which all streams decode, and nothing else."""
    from inference.engine import EngineCore, SamplingParams
    from inference.engine.request import GenerationRequest

    core = EngineCore(backend)
    params = SamplingParams(
        temperature=0,
        max_tokens=MAX_TOKENS,
        logit_bias=tuple((token, -100.0) for token in END_TOKENS),
    )
    for number in range(streams):
        prompt = backend.tokenizer.tokenize(
            text(QUESTION_TOKENS, f"{streams}-{number}"), special=True
        )
        core.add(
            GenerationRequest(
                request_id=str(number), prompt_token_ids=prompt, params=params
            )
        )
    begun: set[str] = set()
    while len(begun) < streams:
        begun |= {output.request_id for output in core.step() if output.tokens}
    stopwatch.seconds.clear()
    steps = 0
    start = clock()
    # The last step clears up as well, and fewer streams may be in it.
    while core.has_work and steps < MAX_TOKENS // 2:
        core.step()
        steps += 1
    seconds = clock() - start
    parts = dict(stopwatch.seconds)
    core.abort([str(number) for number in range(streams)])
    while core.has_work:
        core.step()
    parts[_PYTHON] = seconds - sum(parts.values())
    return StepTimes(streams, steps, {name: s / steps for name, s in parts.items()})


def _show(times: list[StepTimes]) -> None:
    table = Table(title="Mean of a decoding step, in ms and in % of the step")
    table.add_column("part")
    for one in times:
        table.add_column(f"{one.streams} streams", justify="right")
        table.add_column("%", justify="right")
    for part in (*(part for _, part in _PARTS), _PYTHON):
        row = []
        for one in times:
            seconds = one.parts.get(part, 0.0)
            row.append(format(1000 * seconds, ".3f"))
            row.append(format(seconds / sum(one.parts.values()), ".1%"))
        table.add_row(part, *row)
    table.add_section()
    totals = [sum(one.parts.values()) for one in times]
    table.add_row(
        "step",
        *(cell for total in totals for cell in (format(1000 * total, ".3f"), "")),
    )
    Console().print(table)
