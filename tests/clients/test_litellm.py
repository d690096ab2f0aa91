"""LiteLLM, which speaks to everything in OpenAI's words."""

from __future__ import annotations

from functools import partial
from typing import Any

import litellm
import pytest

from tests.clients.client import EMBEDDER, FOLDER_MODEL, MODEL, TOO_SMALL, Client
from tests.clients.subjects import CAPITAL, PERSON, WEATHER, Person, said

CLIENT = Client(
    "LiteLLM",
    ("litellm",),
    """
    from litellm import completion

    server = {"api_base": "http://localhost:8000/v1", "api_key": "YOUR_KEY"}
    answer = completion(
        model="openai/SmolLM2-135M-Instruct.Q4_1",
        messages=[{"role": "user", "content": "Name the capital of France."}],
        **server,
    )
    """,
    note="`openai/` before a model's id is LiteLLM's, and never reaches the server.",
)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "London"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def ask(names: dict[str, Any]) -> Any:
    """`completion`, with the server and the model."""
    return partial(
        litellm.completion, model=f"openai/{MODEL}", temperature=0, **names["server"]
    )


def test_the_lines_of_the_page_are_answered(names: dict[str, Any]) -> None:
    answer = names["answer"]
    assert answer.choices[0].message.content
    assert answer.usage.total_tokens > 0


def test_a_stream_ends_with_the_usage(ask: Any) -> None:
    chunks = list(
        ask(messages=said(CAPITAL), stream=True, stream_options={"include_usage": True})
    )
    assert "Paris" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    whole = litellm.stream_chunk_builder(chunks, messages=said(CAPITAL))
    assert whole.usage.completion_tokens > 0


async def test_an_asynchronous_chat(names: dict[str, Any]) -> None:
    answer = await litellm.acompletion(
        model=f"openai/{FOLDER_MODEL}",
        messages=said(CAPITAL),
        temperature=0,
        **names["server"],
    )
    assert "Paris" in answer.choices[0].message.content


def test_a_pydantic_model_as_response_format(ask: Any) -> None:
    answer = ask(messages=said(PERSON), response_format=Person)
    Person.model_validate_json(answer.choices[0].message.content)


def test_a_required_tool_is_called(ask: Any) -> None:
    answer = ask(messages=said(WEATHER), tools=[TOOL], tool_choice="required")
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_call_comes_back_with_its_result(ask: Any) -> None:
    first = ask(
        messages=said(WEATHER),
        tools=[TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
    )
    message = first.choices[0].message
    call_id = message.tool_calls[0].id
    result = {"role": "tool", "tool_call_id": call_id, "content": "It is sunny."}
    second = ask(
        messages=[*said(WEATHER), message, result], tools=[TOOL], tool_choice="none"
    )
    assert second.choices[0].message.content


@pytest.mark.xfail(
    raises=AssertionError, reason=f"{TOO_SMALL} it chooses no tool by itself"
)
def test_a_tool_is_chosen_unprompted(ask: Any) -> None:
    answer = ask(messages=said(WEATHER), tools=[TOOL], max_tokens=64)
    assert answer.choices[0].message.tool_calls


def test_a_text_is_continued(names: dict[str, Any]) -> None:
    answer = litellm.text_completion(
        model=f"text-completion-openai/{MODEL}",
        prompt="1, 2, 3, 4, 5,",
        max_tokens=6,
        temperature=0,
        **names["server"],
    )
    assert "6" in answer.choices[0].text


def test_embeddings(names: dict[str, Any], embedder: str) -> None:
    answer = litellm.embedding(
        model=f"openai/{EMBEDDER}", input=["A cat.", "A tax."], **names["server"]
    )
    assert [len(item["embedding"]) for item in answer.data] == [384, 384]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model": "openai/nobody"}, litellm.NotFoundError),
        ({"api_key": "sk-wrong"}, litellm.AuthenticationError),
        ({"messages": said("word " * 9000)}, litellm.ContextWindowExceededError),
    ],
    ids=["an unknown model", "a wrong key", "a prompt over the context"],
)
def test_errors_are_of_litellms_classes(
    ask: Any, fields: dict[str, Any], expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        ask(**{"messages": said(CAPITAL), **fields})
