"""What OpenAI's package for Python does by itself when the server refuses for now."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.clients.client import MODEL
from tests.clients.conftest import RUNNING, WAITING, WINDOW_S
from tests.clients.test_openai import CAPITAL, CLIENT, LONG

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.whole_server import Server

__all__ = ["CLIENT"]


def ask(client: Any, **fields: Any) -> Any:
    """Ask for a short answer, with what came with it."""
    return client.chat.completions.with_raw_response.create(
        model=MODEL, messages=CAPITAL, max_tokens=1, **fields
    )


def test_a_429_is_retried_when_the_server_says(
    names: dict[str, Any], make_key: Callable[..., str]
) -> None:
    client = names["client"].with_options(
        api_key=make_key("--rate-limit", "2"), max_retries=10
    )
    start = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        # At once: on a slow machine one after the other would need no retry.
        answers = list(pool.map(lambda _: ask(client), range(8)))
    assert max(answer.retries_taken for answer in answers) >= 1
    assert time.monotonic() - start >= WINDOW_S / 2
    assert answers[0].headers["x-ratelimit-limit-requests"] == "2"


def test_a_429_without_retries_is_an_error_that_says_when(
    names: dict[str, Any], make_key: Callable[..., str]
) -> None:
    client = names["client"].with_options(
        api_key=make_key("--rate-limit", "1"), max_retries=0
    )
    with ThreadPoolExecutor(8) as pool:
        # At once, as above.
        asked = [pool.submit(ask, client) for _ in range(8)]
    refused = [error for each in asked if (error := each.exception()) is not None]
    assert refused
    for error in refused:
        assert isinstance(error, openai.RateLimitError)
        assert error.code == "rate_limit_exceeded"
        assert 1 <= int(error.response.headers["retry-after"]) <= WINDOW_S


async def test_a_503_is_retried_when_the_server_says(
    server: Server, requests_of: Callable[[str], int], until: Callable[..., None]
) -> None:
    statuses = []
    refused = asyncio.Event()

    async def hear(response: Any) -> None:
        statuses.append(response.status_code)
        if response.status_code == 503:
            refused.set()

    async with openai.AsyncOpenAI(
        base_url=f"http://{server.host}:{server.port}/v1",
        api_key=server.key,
        http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [hear]}),
    ) as client:
        patient = client.with_options(max_retries=0)
        crowd = [
            asyncio.create_task(
                patient.chat.completions.create(
                    model=MODEL, messages=LONG, max_tokens=1800
                )
            )
            for _ in range(RUNNING + WAITING)
        ]
        await asyncio.to_thread(
            until, lambda: requests_of("waiting") == WAITING, "the queue is full"
        )
        with pytest.raises(openai.InternalServerError) as caught:
            await ask(patient)
        assert (caught.value.status_code, caught.value.code) == (503, "queue_full")
        assert int(caught.value.response.headers["retry-after"]) > 0
        refused.clear()
        asked = asyncio.create_task(ask(client))
        await refused.wait()
        for each in crowd:
            each.cancel()
        answer = await asked
        await asyncio.gather(*crowd, return_exceptions=True)
    assert answer.retries_taken >= 1
    assert statuses[-1] == 200
