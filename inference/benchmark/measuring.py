"""Measures a model through whatever brings it requests. Knows no transport."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING, Protocol

from inference.benchmark.figures import (
    BenchmarkResult,
    MeasuredStream,
    prompt_result,
    streams_result,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: What is measured unless somebody asks for something else.
STREAMS = (1, 8, 16)
TOKENS = 128
PROMPT_TOKENS = 1024
#: The fewest tokens between which there is a time.
FEWEST = 2
_SHORT_PROMPT = 32
#: Numbers in the text that prompts are cut from.
_NUMBERS = 4000
#: Of so many long prompts the median counts.
_LONG_PROMPTS = 3


class Door(Protocol):
    """Brings requests to a model."""

    async def tokens_of(self, text: str) -> list[int]:
        """Return the tokens of a text."""

    async def stream(self, prompt: list[int], tokens: int) -> MeasuredStream:
        """Let the model write so many tokens after a prompt."""


async def measure(
    door: Door,
    model: str,
    *,
    streams: Sequence[int] = STREAMS,
    tokens: int = TOKENS,
    prompt_tokens: int = PROMPT_TOKENS,
    on_step: Callable[[str, float], None],
) -> BenchmarkResult:
    """Measure a model; ``on_step`` hears what comes next, and the share that is done.

    Every prompt is another one, so none is found in the prefix cache. Raises what the
    door raises.
    """
    count = 1 + sum(streams)
    lengths = [_SHORT_PROMPT] * count + [prompt_tokens] * _LONG_PROMPTS
    steps = len(streams) + 2
    on_step("loading the model", 0.0)
    prompts = _prompts(await door.tokens_of(_text()), lengths)
    await door.stream(next(prompts), FEWEST)
    results = []
    for done, number in enumerate(streams, 1):
        on_step(f"{number} at once", done / steps)
        asked = [door.stream(next(prompts), tokens) for _ in range(number)]
        results.append(streams_result(await asyncio.gather(*asked)))
    on_step(f"prompts of {prompt_tokens} tokens", (steps - 1) / steps)
    long = [await door.stream(each, FEWEST) for each in prompts]
    return BenchmarkResult(model, results, prompt_result(long))


def _text() -> str:
    """Return other numbers in every run: the cache may still have those of the last."""
    return " ".join(map(str, random.sample(range(10_000, 100_000), _NUMBERS)))


def _prompts(tokens: list[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Return prompts of these lengths, each with a beginning of its own."""
    step = len(tokens) // len(lengths)
    return (
        list(itertools.islice(itertools.cycle(tokens), start, start + length))
        for start, length in zip(itertools.count(step=step), lengths)
    )
