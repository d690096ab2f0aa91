"""OpenAI's own package for Python, on responses and conversations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.clients.client import MODEL, Client
from tests.clients.subjects import CAPITAL, PERSON, STORY, WEATHER, Person

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT = Client(
    "openai, responses",
    ("openai",),
    """
    from openai import OpenAI

    client = OpenAI(base_url="http://localhost:8000/v1", api_key="YOUR_KEY")
    """,
    note="Responses are stored, continued by their ids and written in the background "
    "where `api.store` is on.",
)
FIXED: dict[str, Any] = {"model": MODEL, "temperature": 0}
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "London"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
DIGITS: Any = {
    "type": "custom",
    "name": "dial",
    "description": "Dials a number.",
    "format": {"type": "grammar", "syntax": "regex", "definition": "[0-9]{3}"},
}


@pytest.fixture
def client(names: dict[str, Any]) -> Any:
    """The client, closed at the end."""
    with names["client"] as client:
        yield client


def test_a_text_is_answered(client: Any) -> None:
    response = client.responses.create(input=CAPITAL, max_output_tokens=30, **FIXED)
    assert "Paris" in response.output_text
    assert response.usage.output_tokens > 0


def test_a_stream_is_put_together(client: Any) -> None:
    with client.responses.stream(input=CAPITAL, max_output_tokens=30, **FIXED) as all_:
        deltas = [e.delta for e in all_ if e.type == "response.output_text.delta"]
        final = all_.get_final_response()
    assert len(deltas) > 1
    assert "".join(deltas) == final.output_text


def test_an_answer_is_an_object(client: Any) -> None:
    response = client.responses.parse(
        input=PERSON, text_format=Person, max_output_tokens=60, **FIXED
    )
    assert isinstance(response.output_parsed, Person)


def test_a_required_call_is_made_and_its_result_answered(client: Any) -> None:
    asked = [{"role": "user", "content": WEATHER}]
    first = client.responses.create(
        input=asked, tools=[TOOL], tool_choice="required", **FIXED
    )
    calls = [item for item in first.output if item.type == "function_call"]
    assert json.loads(calls[0].arguments)["city"] in ("Paris", "London")
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."}
        for call in calls
    ]
    second = client.responses.create(
        input=[*asked, *first.output, *results],
        tools=[TOOL],
        tool_choice="none",
        max_output_tokens=30,
        **FIXED,
    )
    assert second.output_text


def test_a_custom_tool_gets_what_its_grammar_allows(client: Any) -> None:
    response = client.responses.create(
        input="Dial 123.",
        tools=[DIGITS],
        tool_choice={"type": "custom", "name": "dial"},
        **FIXED,
    )
    (call,) = response.output
    assert call.type == "custom_tool_call"
    assert len(call.input) == 3
    assert call.input.isdecimal()


def test_a_response_goes_on_from_another_one(client: Any) -> None:
    first = client.responses.create(input=CAPITAL, max_output_tokens=20, **FIXED)
    second = client.responses.create(
        input="And of Germany?",
        previous_response_id=first.id,
        max_output_tokens=20,
        **FIXED,
    )
    assert second.usage.input_tokens > first.usage.input_tokens
    listed = client.responses.input_items.list(second.id)
    assert [item.content[0].text for item in listed] == ["And of Germany?"]
    assert client.responses.retrieve(first.id).output_text == first.output_text
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_a_conversation_keeps_what_is_said(client: Any) -> None:
    conversation = client.conversations.create(metadata={"topic": "capitals"})
    client.responses.create(
        input=CAPITAL, conversation=conversation.id, max_output_tokens=20, **FIXED
    )
    items = list(client.conversations.items.list(conversation.id, order="asc"))
    assert [item.role for item in items] == ["user", "assistant"]
    client.conversations.delete(conversation.id)


def test_a_response_is_written_in_the_background(
    client: Any, until: Callable[[Callable[[], bool], str], None]
) -> None:
    queued = client.responses.create(
        input=CAPITAL, background=True, max_output_tokens=30, **FIXED
    )
    assert queued.status in ("queued", "in_progress")

    def is_done() -> bool:
        return bool(client.responses.retrieve(queued.id).status == "completed")

    until(is_done, "a response in the background")
    assert client.responses.retrieve(queued.id).output_text


def test_a_stream_in_the_background_is_taken_up_again(client: Any) -> None:
    stream = client.responses.create(
        input=CAPITAL, background=True, stream=True, max_output_tokens=30, **FIXED
    )
    seen = []
    for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    stream.close()
    id_ = seen[0].response.id
    last = seen[-1].sequence_number
    rest = list(client.responses.retrieve(id_, stream=True, starting_after=last))
    assert rest[0].sequence_number == last + 1
    assert rest[-1].type == "response.completed"
    deltas = [e.delta for e in seen + rest if e.type == "response.output_text.delta"]
    assert "".join(deltas) == rest[-1].response.output_text


def test_a_response_in_the_background_is_cancelled(client: Any) -> None:
    queued = client.responses.create(
        input=STORY,
        background=True,
        max_output_tokens=1500,
        extra_body={"ignore_eos": True},
        **FIXED,
    )
    assert client.responses.cancel(queued.id).status == "cancelled"
    assert client.responses.retrieve(queued.id).status == "cancelled"


def test_input_tokens_are_counted(client: Any) -> None:
    counted = client.responses.input_tokens.count(model=MODEL, input=CAPITAL)
    response = client.responses.create(input=CAPITAL, max_output_tokens=2, **FIXED)
    assert counted.input_tokens == response.usage.input_tokens


def test_what_is_refused_is_named(client: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(input=CAPITAL, truncation="auto", **FIXED)
    assert caught.value.param == "truncation"
