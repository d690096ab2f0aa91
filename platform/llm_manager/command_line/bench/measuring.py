"""Measures a model through the running server: streams at once, and long prompts."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

import httpx2

from inference.benchmark.figures import BenchmarkResult, MeasuredStream
from inference.benchmark.measuring import FEWEST, measure
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
    from collections.abc import Callable, Sequence

    from llm_manager.command_line.remote.connection import Connection


def run_benchmark(
    connection: Connection,
    model: str,
    *,
    streams: Sequence[int],
    tokens: int,
    prompt_tokens: int,
    on_step: Callable[[str], None],
) -> BenchmarkResult:
    """Measure a model; ``on_step`` hears what comes next. Raises CommandFailed."""

    async def run() -> BenchmarkResult:
        async with _Client(connection, model) as client:
            return await measure(
                client,
                model,
                streams=streams,
                tokens=tokens,
                prompt_tokens=prompt_tokens,
                on_step=lambda step, _share: on_step(step),
            )

    return asyncio.run(run())


class _Client:
    """Many streams of one model at once: a door of a benchmark."""

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

    async def tokens_of(self, text: str) -> list[int]:
        """Return the tokens of a text. Raises CommandFailed."""

        def ask() -> list[int]:
            with ApiClient(self._connection) as client:
                body = {"model": self._model, "content": text}
                tokens: list[int] = client.post("/v1/tokenize", body)["tokens"]
            return tokens

        return await asyncio.to_thread(ask)

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
    if usage is None or usage["completion_tokens"] < FEWEST:
        raise CommandFailed("The server ended an answer early, so nothing is measured.")
    return MeasuredStream(
        asked_at, first_at, last_at, usage["prompt_tokens"], usage["completion_tokens"]
    )
