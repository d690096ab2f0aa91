"""Greedy streams of completions, and what becomes of each."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
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
    """Where the server listens, its key, and the model that is asked."""

    base_url: str
    key: str
    model: str

    def client(self) -> httpx.AsyncClient:
        """Return an HTTP client that waits for as long as it takes."""
        return httpx.AsyncClient(
            base_url=self.base_url,
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
    outcome = await _read(api, number, max_tokens, key, on_text)
    if outcome.end != "cut":
        return outcome
    # What a client does when its connection breaks: it asks again, until the server
    # is there.
    while True:
        try:
            return await _read(api, number, max_tokens, key, on_text)
        except httpx.ConnectError:
            await asyncio.sleep(0.2)


async def _read(
    api: Api, number: int, max_tokens: int, key: str, on_text: Callable[[], None]
) -> Outcome:
    text = ""
    headers = {"Idempotency-Key": key}
    body = api.body(number, max_tokens)
    try:
        async with (
            api.client() as client,
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
    except httpx.ConnectError:
        raise
    except httpx.TransportError as error:
        return Outcome("cut", text, repr(error))
    return Outcome("cut", text, "the stream ends without [DONE]")


async def answers(api: Api, limit_s: float) -> float | None:
    """Return the seconds until a short request is answered; None after the limit.

    One attempt after the other: each may be refused, or hang for a while.
    """
    start = asyncio.get_running_loop().time()
    while (spent := asyncio.get_running_loop().time() - start) < limit_s:
        try:
            async with asyncio.timeout(limit_s - spent):
                outcome = await _read(
                    api, 999, 4, f"next-{start}-{spent}", lambda: None
                )
        except (TimeoutError, httpx.ConnectError):
            outcome = Outcome("cut")
        if outcome.end == "whole":
            return asyncio.get_running_loop().time() - start
        await asyncio.sleep(0.1)
    return None
