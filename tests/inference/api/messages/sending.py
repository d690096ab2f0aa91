"""Calls POST /v1/messages as Anthropic's clients do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.inference.api.conftest import read_stream

if TYPE_CHECKING:
    from tests.inference.api.conftest import Api

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
NOW: dict[str, Any] = {"name": "now", "input_schema": {"type": "object"}}


def user(content: Any) -> dict[str, Any]:
    """Return a turn of the user."""
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    """Return a turn of the assistant."""
    return {"role": "assistant", "content": content}


def text(content: str, **more: Any) -> dict[str, Any]:
    """Return a text block."""
    return {"type": "text", "text": content, **more}


def use(name: str = "get_weather", number: int = 1, **given: Any) -> dict[str, Any]:
    """Return a tool_use block."""
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given}


def result(content: Any, number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a tool_result block."""
    tool_use_id = f"toolu_{number}"
    return {
        "type": "tool_result",
        "tool_use_id": tool_use_id,
        "content": content,
        **more,
    }


async def send(api: Api, *turns: dict[str, Any], **body: Any) -> Any:
    """POST a message: "Hi" if no turn is given."""
    given = {
        "model": "tiny",
        "max_tokens": 100,
        "messages": [*turns] or [user("Hi")],
        **body,
    }
    return await api.post("/v1/messages", given)


async def answer(api: Api, *turns: dict[str, Any], **body: Any) -> Any:
    """Return the answer to a message."""
    response = await send(api, *turns, **body)
    assert response.status_code == 200, response.content
    return response.json()


async def refusal(api: Api, *turns: dict[str, Any], **body: Any) -> str:
    """Return what the error of a message says."""
    response = await send(api, *turns, **body)
    assert response.status_code == 400, response.content
    error = response.json()
    assert (error["type"], error["error"]["type"]) == (
        "error",
        "invalid_request_error",
    )
    return str(error["error"]["message"])


async def events(api: Api, *turns: dict[str, Any], **body: Any) -> list[Any]:
    """Return the events of a streamed answer; each is named by its type."""
    response = await send(api, *turns, stream=True, **body)
    assert response.status_code == 200, response.content
    pieces = b"".join(await read_stream(response)).decode()
    found = []
    for event in pieces.split("\n\n")[:-1]:
        if event.startswith(":"):
            continue
        name, data = event.split("\n")
        payload = json.loads(data.removeprefix("data: "))
        assert name == f"event: {payload['type']}"
        found.append(payload)
    return found


def whole(found: list[Any]) -> dict[str, Any]:
    """Return the message that a client makes of a stream's events."""
    message: dict[str, Any] = {}
    for event in found:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append({**event["content_block"], "json": ""})
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "signature_delta":
                        block["signature"] += delta["signature"]
                    case "input_json_delta":
                        block["json"] += delta["partial_json"]
            case "content_block_stop":
                block = message["content"][event["index"]]
                if written := block.pop("json"):
                    block["input"] = json.loads(written)
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
    return message
