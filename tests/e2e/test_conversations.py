"""Conversations as frameworks send them, answered by a real model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.test_serving import chat, content, events

if TYPE_CHECKING:
    import httpx

pytestmark = [pytest.mark.e2e, pytest.mark.model]

_WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris"]}},
        "required": ["city"],
    },
}
_SUM = {
    "type": "object",
    "properties": {"result": {"type": "integer"}},
    "required": ["result"],
}
_ADDED = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"x": 2, "y": 2}'},
}
_HISTORY = [
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": None, "tool_calls": [_ADDED]},
    {"role": "tool", "tool_call_id": "call_1", "content": "4"},
    {"role": "assistant", "content": "The sum is 4."},
]


def test_a_history_that_ends_with_the_assistant_is_answered_in_a_schema(
    api: httpx.Client,
) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "Sum", "schema": _SUM}}

    said = content(api, "", messages=_HISTORY, response_format=schema)

    assert isinstance(json.loads(said)["result"], int)


@pytest.mark.parametrize("said", ["The sum is 4.", "Yes", "Hello! How can I help?"])
def test_a_continuation_adds_something(api: httpx.Client, said: str) -> None:
    history = [_HISTORY[0], {"role": "assistant", "content": said}]

    assert content(api, "", messages=history, max_tokens=16).strip()


def test_a_former_function_is_called_whole_and_in_a_stream(api: httpx.Client) -> None:
    fields: dict[str, Any] = {
        "functions": [_WEATHER],
        "function_call": {"name": "get_weather"},
    }

    whole = api.post("/v1/chat/completions", json=chat("Weather?", **fields)).json()
    body = chat("Weather?", stream=True, **fields)
    with api.stream("POST", "/v1/chat/completions", json=body) as response:
        choices = [chunk["choices"][0] for chunk in events(response)]

    [choice] = whole["choices"]
    deltas = [each["delta"].get("function_call", {}) for each in choices]
    arguments = "".join(each.get("arguments", "") for each in deltas)
    assert choice["finish_reason"] == choices[-1]["finish_reason"] == "function_call"
    assert choice["message"]["function_call"]["name"] == "get_weather"
    assert json.loads(choice["message"]["function_call"]["arguments"]) == (
        json.loads(arguments)
    )
    assert json.loads(arguments) == {"city": "Paris"}


def test_a_top_p_of_zero_takes_the_most_likely_token(api: httpx.Client) -> None:
    greedy = content(api, "Tell me a joke.", max_tokens=12)

    assert content(api, "Tell me a joke.", max_tokens=12, temperature=1.5, top_p=0) == (
        greedy
    )


def test_an_answer_without_a_limit_ends_by_itself(api: httpx.Client) -> None:
    answer = api.post(
        "/chat/completions", json=chat("Say hi.", max_tokens=-1, stop=["!", "."])
    )

    assert answer.json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_a_hint_that_means_nothing_here_is_said_before_the_answer(
    api: httpx.Client, stream: bool
) -> None:
    body = chat("Say hi.", reasoning_effort="high", max_tokens=2, stream=stream)

    with api.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200
        assert response.headers["x-llm-manager-left-out"] == "reasoning_effort"
        response.read()


def test_a_path_that_is_not_there_names_the_right_one(api: httpx.Client) -> None:
    for path in ("/api/v1/chat/completions", "/v1/v1/chat/completions", "/v1/a%0Ab"):
        answer = api.post(path, json={})

        assert answer.status_code == 404
        assert "/v1" in answer.json()["error"]["message"].partition("Use")[2] or (
            "under /v1" in answer.json()["error"]["message"]
        )
