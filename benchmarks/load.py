"""The load: N streams at once over plain sockets, every answer checked.

A lean client, so that it takes little of the cores that the server needs: one
event loop, no HTTP library, no JSON but where a check needs it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from dataclasses import dataclass
from itertools import pairwise

#: Long enough for a decode rate, short enough for many rounds.
MAX_TOKENS = 96
QUESTION = "Write a long story about the number {}."
#: The sample model's end tokens. Banned, so that every answer has all its tokens
#: and every system under test does the same work.
END_TOKENS = (0, 2)


@dataclass(frozen=True, slots=True)
class Answer:
    """One stream: when its tokens came, in seconds since the request, and how many."""

    arrivals: tuple[float, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Round:
    """What N streams at once gave."""

    streams: int
    tokens_per_s: float
    ttft_p50_s: float
    itl_p50_s: float


class WrongAnswer(Exception):
    """An answer that a benchmark must not count."""


async def run_round(
    *, host: str, port: int, key: str, model: str, streams: int
) -> Round:
    """Run ``streams`` requests at once. Raises WrongAnswer."""
    start = time.perf_counter()
    answers = await asyncio.gather(
        *(ask(host, port, key, body(model, number)) for number in range(streams))
    )
    seconds = time.perf_counter() - start
    gaps = [
        later - earlier
        for answer in answers
        for earlier, later in pairwise(answer.arrivals)
    ]
    return Round(
        streams=streams,
        tokens_per_s=sum(answer.tokens for answer in answers) / seconds,
        ttft_p50_s=statistics.median(answer.arrivals[0] for answer in answers),
        itl_p50_s=statistics.median(gaps),
    )


def body(model: str, number: int) -> bytes:
    """Return a streaming chat request that uses all its tokens."""
    return json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": QUESTION.format(number)}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "logit_bias": {str(token): -100 for token in END_TOKENS},
        }
    ).encode()


async def ask(host: str, port: int, key: str, request: bytes) -> Answer:
    """Send one request and read its stream to ``[DONE]``. Raises WrongAnswer."""
    start = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\n"
            + f"Host: {host}:{port}\r\nAuthorization: Bearer {key}\r\n".encode()
            + b"Content-Type: application/json\r\nConnection: close\r\n"
            + f"Content-Length: {len(request)}\r\n\r\n".encode()
            + request
        )
        await writer.drain()
        status = await reader.readline()
        if b" 200 " not in status:
            raise WrongAnswer(f"{status!r}: {await reader.read(2000)!r}")
        arrivals: list[float] = []
        last: list[bytes] = []
        async for line in reader:
            if line.startswith(b"data: "):
                last = [*last[-2:], line[6:].strip()]
                if b'"content":' in line and b'"content":""' not in line:
                    arrivals.append(time.perf_counter() - start)
    finally:
        writer.close()
    return Answer(tuple(arrivals), _checked(last))


def _checked(last: list[bytes]) -> int:
    """Return the tokens of a stream by its last three events. Raises WrongAnswer."""
    if len(last) != 3 or last[2] != b"[DONE]":
        raise WrongAnswer(f"the stream ends with {last!r}")
    reason = json.loads(last[0])["choices"][0]["finish_reason"]
    tokens = json.loads(last[1])["usage"]["completion_tokens"]
    if reason != "length" or tokens != MAX_TOKENS:
        raise WrongAnswer(f"finish_reason {reason}, {tokens} tokens")
    return int(tokens)
