"""LangChain on responses and, by its package for Anthropic, on messages."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool

from tests.clients.client import Client
from tests.clients.subjects import CAPITAL, PERSON, WEATHER, City, Person

CLIENT = Client(
    "LangChain, responses and messages",
    ("langchain-openai", "langchain-anthropic"),
    """
    from langchain_anthropic import ChatAnthropic
    from langchain_openai import ChatOpenAI

    name, key = "SmolLM2-135M-Instruct.Q4_1", "YOUR_KEY"
    responses = ChatOpenAI(
        model=name,
        base_url="http://localhost:8000/v1",
        api_key=key,
        use_responses_api=True,
    )
    messages = ChatAnthropic(model=name, base_url="http://localhost:8000", api_key=key)
    """,
)
FIXED = {"temperature": 0, "max_tokens": 100}


@tool
def get_weather(city: City) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}."


@pytest.fixture(params=["responses", "messages"])
def chat(names: dict[str, Any], request: pytest.FixtureRequest) -> Any:
    """The chat model of one API."""
    return names[request.param].model_copy(update=FIXED)


def test_a_text_is_answered(chat: Any) -> None:
    answer = chat.invoke(CAPITAL)
    assert "Paris" in answer.text
    assert answer.usage_metadata["output_tokens"] > 0


async def test_a_text_is_streamed(chat: Any) -> None:
    pieces = [piece.text async for piece in chat.astream(CAPITAL)]
    assert len(pieces) > 2
    assert "Paris" in "".join(pieces)


def test_a_required_call_comes_back_with_its_result(chat: Any) -> None:
    asked = [HumanMessage(WEATHER)]
    called = chat.bind_tools([get_weather], tool_choice="any").invoke(asked)
    results: list[ToolMessage] = [
        get_weather.invoke(call) for call in called.tool_calls
    ]
    assert results
    tools = chat.bind_tools([get_weather])
    assert tools.invoke([*asked, called, *results]) is not None


def test_an_answer_is_an_object(chat: Any) -> None:
    structured = chat.with_structured_output(Person, method="json_schema")
    assert isinstance(structured.invoke(PERSON), Person)
