"""Calls of /v1/responses, and their streams as a client puts them together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.inference.api.conftest import read_stream
from tests.openai_schema import check

if TYPE_CHECKING:
    from tests.inference.api.conftest import Api

WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": False,
}


def request_body(**members: Any) -> dict[str, Any]:
    """Return a valid request with changes."""
    return {"model": "tiny", "input": "Hi", **members}


async def create(api: Api, **members: Any) -> Any:
    """Return a response, which fits OpenAI's schema."""
    answer = await api.post("/v1/responses", request_body(**members))
    assert answer.status_code == 200, answer.content
    response = answer.json()
    check("Response", response)
    return response


async def refused(api: Api, **members: Any) -> Any:
    """Return the error of a request that is refused."""
    answer = await api.post("/v1/responses", request_body(**members))
    assert answer.status_code == 400, answer.content
    return answer.json()["error"]


async def stream(api: Api, **members: Any) -> list[Any]:
    """Return the events of a stream, each of which fits OpenAI's schema."""
    answer = await api.post("/v1/responses", request_body(stream=True, **members))
    assert answer.status_code == 200, answer.content
    return events_of(b"".join(await read_stream(answer)).decode())


def events_of(text: str) -> list[Any]:
    """Return the events of a stream's text; checks their names and numbers."""
    events = []
    for block in text.split("\n\n"):
        if not block or block.startswith(":"):
            continue
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        check("ResponseStreamEvent", event)
        events.append(event)
    first = events[0]["sequence_number"]
    numbers = [event["sequence_number"] for event in events]
    assert numbers == list(range(first, first + len(events)))
    return events


def types_of(events: list[Any]) -> list[str]:
    """Return the types of events without their common beginning, repeated ones once."""
    types: list[str] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        if not types or types[-1] != kind:
            types.append(kind)
    return types
