"""A server that speaks Ollama's API too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.inference.api.conftest import read_stream
from tests.inference.api.usage.conftest import entries as entries

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.inference.api.conftest import Api


@pytest.fixture(autouse=True)
def _on(configure: Callable[..., None]) -> None:
    configure(api__ollama=True)


async def whole(api: Api, path: str, **body: Any) -> Any:
    """Return the answer to a request that does not stream."""
    response = await api.post(path, {"model": "tiny", "stream": False, **body})
    assert response.status_code == 200, response.content
    return response.json()


async def lines(api: Api, path: str, **body: Any) -> list[Any]:
    """Return the objects of a stream, as a client reads them: one a line."""
    response = await api.post(path, {"model": "tiny", **body})
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "application/x-ndjson"
    text = b"".join(await read_stream(response)).decode()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


async def refusal(api: Api, path: str, **body: Any) -> str:
    """Return what the error of a request says."""
    response = await api.post(path, {"model": "tiny", **body})
    assert response.status_code == 400, response.content
    error = response.json()
    assert list(error) == ["error"]
    return str(error["error"])


def said(text: str = "Hi") -> list[dict[str, Any]]:
    """Return a conversation that begins with this."""
    return [{"role": "user", "content": text}]
