"""Measures a model through the running server: streams at once, and long prompts."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import TYPE_CHECKING, Self

import httpx2

from llm_manager.command_line.bench.figures import (
    BenchmarkResult,
    MeasuredStream,
    prompt_result,
    streams_result,
)
from llm_manager.command_line.exit_status import CommandFailed
from llm_manager.command_line.remote.api_client import (
    ApiClient,
    event_of,
    headers,
    refusal,
    timeouts,
    unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from llm_manager.command_line.remote.connection import Connection

_SHORT_PROMPT = 32
#: Numbers in the text that prompts are cut from.
_NUMBERS = 4000
#: Of so many long prompts the median counts.
_LONG_PROMPTS = 3
#: The fewest tokens between which there is a time.
_FEWEST = 2


def run_benchmark(
    connection: Connection,
    model: str,
    *,
    streams: Sequence[int],
    tokens: int,
    prompt_tokens: int,
    on_step: Callable[[str], None],
) -> BenchmarkResult:
    """Measure a model; ``on_step`` hears what comes next. Raises CommandFailed.

    Every prompt is another one, so none is found in the prefix cache.
    """
    count = 1 + sum(streams)
    lengths = [_SHORT_PROMPT] * count + [prompt_tokens] * _LONG_PROMPTS
    prompts = _prompts(connection, model, lengths)

    async def measure() -> BenchmarkResult:
        async with _Client(connection, model) as client:
            on_step("loading the model")
            await client.stream(next(prompts), _FEWEST)
            results = []
            for number in streams:
                on_step(f"{number} at once")
                asked = [client.stream(next(prompts), tokens) for _ in range(number)]
                results.append(streams_result(await asyncio.gather(*asked)))
            on_step(f"prompts of {prompt_tokens} tokens")
            long = [await client.stream(each, _FEWEST) for each in prompts]
            return BenchmarkResult(model, results, prompt_result(long))

    return asyncio.run(measure())


def _prompts(
    connection: Connection, model: str, lengths: Sequence[int]
) -> Iterator[list[int]]:
    """Return prompts of these lengths as tokens, each with a beginning of its own."""
    # Other numbers in every run: the cache may still have those of the last one.
    numbers = random.sample(range(10_000, 100_000), _NUMBERS)
    content = " ".join(map(str, numbers))
    with ApiClient(connection) as client:
        answer = client.post("/v1/tokenize", {"model": model, "content": content})
    tokens: list[int] = answer["tokens"]
    steps = len(tokens) // len(lengths)
    return (
        list(itertools.islice(itertools.cycle(tokens), start, start + length))
        for start, length in zip(itertools.count(step=steps), lengths)
    )


class _Client:
    """Many streams of one model at once."""

    def __init__(self, connection: Connection, model: str) -> None:
        self._connection = connection
        self._model = model
        self._http = httpx2.AsyncClient(
            base_url=connection.url,
            headers=headers(connection),
            timeout=timeouts(None),
            limits=httpx2.Limits(max_connections=None),
            trust_env=not connection.is_local,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def stream(self, prompt: list[int], tokens: int) -> MeasuredStream:
        """Let the model write so many tokens after a prompt. Raises CommandFailed."""
        body = {
            "model": self._model,
            "prompt": prompt,
            "max_tokens": tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        asked_at = time.perf_counter()
        try:
            async with self._http.stream(
                "POST", "/v1/completions", json=body
            ) as answer:
                if answer.status_code != httpx2.codes.OK:
                    await answer.aread()
                    raise refusal(answer, self._connection)
                return await _read(answer, asked_at)
        except httpx2.TransportError as error:
            raise unreachable(error, self._connection) from None


async def _read(answer: httpx2.Response, asked_at: float) -> MeasuredStream:
    first_at = last_at = 0.0
    usage = None
    async for line in answer.aiter_lines():
        event = event_of(line)
        if event is None:
            continue
        if event["choices"]:
            last_at = time.perf_counter()
            first_at = first_at or last_at
        usage = event.get("usage") or usage
    if usage is None or usage["completion_tokens"] < _FEWEST:
        raise CommandFailed("The server ended an answer early, so nothing is measured.")
    return MeasuredStream(
        asked_at, first_at, last_at, usage["prompt_tokens"], usage["completion_tokens"]
    )
