"""LiteLLM on responses and on messages."""

from __future__ import annotations

from typing import Any

import litellm
import pytest

from tests.clients.client import MODEL, Client
from tests.clients.subjects import CAPITAL, WEATHER, said
from tests.clients.test_litellm import TOOL

CLIENT = Client(
    "LiteLLM, responses and messages",
    ("litellm",),
    """
    import litellm

    responses = {"api_base": "http://localhost:8000/v1", "api_key": "YOUR_KEY"}
    answer = litellm.responses(
        model="openai/SmolLM2-135M-Instruct.Q4_1",
        input="Name the capital of France.",
        **responses,
    )
    messages = {"api_base": "http://localhost:8000", "api_key": "YOUR_KEY"}
    message = litellm.completion(
        model="anthropic/SmolLM2-135M-Instruct.Q4_1",
        messages=[{"role": "user", "content": "Name the capital of France."}],
        **messages,
    )
    """,
)
FIXED: Any = {"temperature": 0}
_NAMED: Any = TOOL["function"]
FUNCTION = {"type": "function", **_NAMED}


def test_the_lines_of_the_page_are_answered(names: dict[str, Any]) -> None:
    assert names["answer"].output[-1].content[0].text
    assert names["answer"].usage.output_tokens > 0
    assert names["message"].choices[0].message.content
    assert names["message"].usage.completion_tokens > 0


def test_a_response_is_streamed(names: dict[str, Any]) -> None:
    events = list(
        litellm.responses(
            model=f"openai/{MODEL}",
            input=CAPITAL,
            stream=True,
            **FIXED,
            **names["responses"],
        )
    )
    deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
    assert "Paris" in "".join(deltas)
    assert events[-1].type == "response.completed"


def test_a_response_goes_on_from_another_one(names: dict[str, Any]) -> None:
    second = litellm.responses(
        model=f"openai/{MODEL}",
        input="And of Germany?",
        previous_response_id=names["answer"].id,
        max_output_tokens=20,
        **FIXED,
        **names["responses"],
    )
    assert second.usage.input_tokens > names["answer"].usage.input_tokens


def test_a_required_function_is_called_in_a_response(names: dict[str, Any]) -> None:
    response = litellm.responses(
        model=f"openai/{MODEL}",
        input=WEATHER,
        tools=[FUNCTION],
        tool_choice="required",
        **FIXED,
        **names["responses"],
    )
    assert response.output[-1].name == "get_weather"


def test_a_message_is_streamed(names: dict[str, Any]) -> None:
    chunks = litellm.completion(
        model=f"anthropic/{MODEL}",
        messages=said(CAPITAL),
        stream=True,
        **FIXED,
        **names["messages"],
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "Paris" in text


def test_a_required_call_comes_back_with_its_result(names: dict[str, Any]) -> None:
    asked: Any = {"model": f"anthropic/{MODEL}", "tools": [TOOL], **FIXED}
    first = litellm.completion(
        messages=said(WEATHER), tool_choice="required", **asked, **names["messages"]
    )
    message = first.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "It is sunny."}
        for call in message.tool_calls
    ]
    second = litellm.completion(
        messages=[*said(WEATHER), message, *results],
        tool_choice="none",
        **asked,
        **names["messages"],
    )
    assert second.choices[0].message.content


async def test_anthropics_own_words_are_passed_on(names: dict[str, Any]) -> None:
    answer: Any = await litellm.anthropic.messages.acreate(
        model=f"anthropic/{MODEL}",
        messages=said(CAPITAL),
        max_tokens=64,
        **FIXED,
        **names["messages"],
    )
    assert "Paris" in answer["content"][0]["text"]


def test_errors_are_of_litellms_classes(names: dict[str, Any]) -> None:
    with pytest.raises(litellm.NotFoundError):
        litellm.responses(model="openai/nobody", input=CAPITAL, **names["responses"])
    wrong = names["messages"] | {"api_key": "sk-wrong"}
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(model=f"anthropic/{MODEL}", messages=said(CAPITAL), **wrong)
