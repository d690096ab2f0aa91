"""What the real server answers, held against the schemas that OpenAI publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Q4_0
from tests.e2e.test_serving import chat, events
from tests.inference.api.responses_api.helpers import events_of
from tests.openai_schema import check

if TYPE_CHECKING:
    import httpx

pytestmark = [pytest.mark.e2e, pytest.mark.model]

_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"enum": ["Paris"]}}},
    },
}


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2, "logprobs": True, "top_logprobs": 3, "max_tokens": 8},
        {"tools": [_TOOL], "tool_choice": "required"},
        {"response_format": {"type": "json_object"}, "max_tokens": 8},
    ],
    ids=["logprobs", "tools", "json"],
)
def test_chats_and_their_streams_are_openais(
    api: httpx.Client, fields: dict[str, Any]
) -> None:
    whole = api.post("/v1/chat/completions", json=chat("Hi.", **fields))
    assert whole.status_code == 200, whole.text
    check("CreateChatCompletionResponse", whole.json())
    body = chat("Hi.", stream=True, stream_options={"include_usage": True}, **fields)
    with api.stream("POST", "/v1/chat/completions", json=body) as response:
        chunks = list(events(response))
    for chunk in chunks:
        check("CreateChatCompletionStreamResponse", chunk)
    assert chunks[-1]["usage"]["completion_tokens"] > 0


def test_models_and_errors_are_openais(api: httpx.Client) -> None:
    check("ListModelsResponse", api.get("/v1/models").json())
    check("ErrorResponse", api.get("/v1/models/nobody").json())


def test_responses_and_their_streams_are_openais(api: httpx.Client) -> None:
    tool = {"type": "function", "strict": True, **_TOOL["function"]}
    body = {
        "model": Q4_0,
        "input": [{"role": "user", "content": "Hi."}],
        "tools": [tool],
        "tool_choice": "required",
        "temperature": 0,
    }
    whole = api.post("/v1/responses", json=body)
    assert whole.status_code == 200, whole.text
    check("Response", whole.json())
    text = api.post("/v1/responses", json={**body, "stream": True}).text
    sent = events_of(text)
    assert sent[-1]["type"] == "response.completed"
    calls = [
        [item["arguments"] for item in response["output"]]
        for response in (whole.json(), sent[-1]["response"])
    ]
    assert calls[0] == calls[1]
