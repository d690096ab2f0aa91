"""Greedy streams of completions, and what becomes of each."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

#: A stream that has not ended this long after the fault hangs.
PATIENCE_S = 120.0
_CONNECT_TIMEOUT_S = 10.0

End = Literal["whole", "error", "cut", "hung"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a stream ended: with its text, with an error's sentence, cut, or not."""

    end: End
    text: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Api:
    """Where web processes listen, their key, and the model that is asked."""

    base_urls: tuple[str, ...]
    key: str
    model: str

    def client(self, attempt: int) -> httpx.AsyncClient:
        """Return an HTTP client that waits for as long as it takes.

        Another attempt asks another web process, as behind a balancer.
        """
        return httpx.AsyncClient(
            base_url=self.base_urls[attempt % len(self.base_urls)],
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=httpx.Timeout(None, connect=_CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    def body(self, number: int, max_tokens: int) -> dict[str, Any]:
        """Return the request of a stream: counting is certain, token for token."""
        first = 100 + 20 * number
        counted = ", ".join(str(first + step) for step in range(8))
        return {
            "model": self.model,
            "prompt": f"Numbers: {counted},",
            "temperature": 0,
            "max_tokens": max_tokens,
            "ignore_eos": True,
            "stream": True,
        }


async def follow(
    api: Api,
    number: int,
    max_tokens: int,
    *,
    key: str,
    on_text: Callable[[], None] = lambda: None,
) -> Outcome:
    """Read one stream to its end; ask again with the same key if it is cut."""
    try:
        outcome = await _read(api, number, number, max_tokens, key, on_text)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        outcome = Outcome("cut", reason=repr(error))
    if outcome.end != "cut":
        return outcome
    # What a client does when its connection breaks: it asks again, until a server
    # is there.
    for attempt in count(number + 1):
        try:
            return await _read(api, attempt, number, max_tokens, key, on_text)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            await asyncio.sleep(0.2)
    raise AssertionError


async def _read(
    api: Api,
    attempt: int,
    number: int,
    max_tokens: int,
    key: str,
    on_text: Callable[[], None],
) -> Outcome:
    text = ""
    headers = {"Idempotency-Key": key}
    body = api.body(number, max_tokens)
    try:
        async with (
            api.client(attempt) as client,
            client.stream(
                "POST", "/v1/completions", json=body, headers=headers
            ) as response,
        ):
            if response.status_code != 200:
                error = json.loads(await response.aread())["error"]
                return Outcome("error", reason=str(error["message"]))
            async for line in response.aiter_lines():
                if line == "data: [DONE]":
                    return Outcome("whole", text)
                if not line.startswith("data: "):
                    continue
                chunk = json.loads(line.removeprefix("data: "))
                if "error" in chunk:
                    return Outcome("error", text, str(chunk["error"]["message"]))
                for choice in chunk["choices"]:
                    text += choice["text"]
                    on_text()
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise
    except httpx.TransportError as error:
        return Outcome("cut", text, repr(error))
    return Outcome("cut", text, "the stream ends without [DONE]")


async def answers(api: Api, limit_s: float) -> float | None:
    """Return the seconds until a short request is answered; None after the limit.

    One attempt after the other: each may be refused, or hang for a while.
    """
    start = asyncio.get_running_loop().time()
    attempts = count()
    while (spent := asyncio.get_running_loop().time() - start) < limit_s:
        try:
            async with asyncio.timeout(limit_s - spent):
                outcome = await _read(
                    api,
                    next(attempts),
                    999,
                    4,
                    f"next-{start}-{spent}",
                    lambda: None,
                )
        except (TimeoutError, httpx.ConnectError, httpx.ConnectTimeout):
            outcome = Outcome("cut")
        if outcome.end == "whole":
            return asyncio.get_running_loop().time() - start
        await asyncio.sleep(0.1)
    return None
