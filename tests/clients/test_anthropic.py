"""Anthropic's own package for Python, and what Claude Code sends first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import pytest

from tests.clients.agents import call
from tests.clients.client import FOLDER_MODEL, MODEL, Client
from tests.clients.subjects import CAPITAL, PERSON, STORY, WEATHER, Person, said
from tests.scripted.names import MODEL as SCRIPTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clients.agents import Desk
    from tests.whole_server import Server

CLIENT = Client(
    "anthropic",
    ("anthropic",),
    """
    from anthropic import Anthropic

    client = Anthropic(base_url="http://localhost:8000", api_key="YOUR_KEY")
    """,
    note="`AsyncAnthropic` is set up the same way; both also read `ANTHROPIC_BASE_URL` "
    "and `ANTHROPIC_API_KEY`, as Claude Code does.",
)
#: Newer versions of the package have no argument for it.
GREEDY = {"temperature": 0}
PARIS = '{"city": "Paris"}'
GET_WEATHER: Any = {
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "London", "Berlin"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture
def client(names: dict[str, Any]) -> Any:
    """The client, closed at the end."""
    with names["client"] as client:
        yield client


def ask(client: Any, text: str, **more: Any) -> Any:
    """Return the answer to a text, always the same one."""
    given = {"model": MODEL, "max_tokens": 64, "messages": said(text), **more}
    return client.messages.create(extra_body=GREEDY, **given)


def test_a_message_is_answered_with_usage(client: Any) -> None:
    answer = ask(client, CAPITAL)
    assert "Paris" in answer.content[0].text
    assert (answer.type, answer.role) == ("message", "assistant")
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens + answer.usage.cache_read_input_tokens > 5
    assert answer.usage.output_tokens > 0
    assert answer._request_id


def test_a_stream_gives_the_same_answer(client: Any) -> None:
    whole = ask(client, CAPITAL)
    with client.messages.stream(
        model=MODEL, max_tokens=64, messages=said(CAPITAL), extra_body=GREEDY
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens


async def test_the_asynchronous_client_streams(server: Server) -> None:
    async with anthropic.AsyncAnthropic(
        base_url=f"http://{server.host}:{server.port}", api_key=server.key
    ) as client:
        stream = await client.messages.create(
            model=MODEL, max_tokens=8, messages=said(STORY), stream=True
        )
        kinds = [event.type async for event in stream]
    assert (kinds[0], kinds[-2:]) == (
        "message_start",
        ["message_delta", "message_stop"],
    )


def test_the_answer_ends_at_its_limit_or_at_a_stop_sequence(client: Any) -> None:
    assert ask(client, STORY, max_tokens=4).stop_reason == "max_tokens"
    stopped = ask(client, CAPITAL, stop_sequences=["Paris"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "Paris")


def test_a_tool_is_called_and_its_result_read(client: Any) -> None:
    tools = {"tools": [GET_WEATHER], "tool_choice": {"type": "any"}}
    answer = ask(client, WEATHER, **tools)
    use = answer.content[-1]
    assert (answer.stop_reason, use.type, use.name) == (
        "tool_use",
        "tool_use",
        "get_weather",
    )
    assert use.input["city"] in ("Paris", "London", "Berlin")
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "Sunny."}
    turns = [
        *said(WEATHER),
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [result]},
    ]
    after = ask(client, "", messages=turns, tools=[GET_WEATHER])
    assert after.content


def test_the_input_of_a_call_is_streamed(client: Any) -> None:
    with client.messages.stream(
        model=MODEL,
        max_tokens=64,
        messages=said(WEATHER),
        extra_body=GREEDY,
        tools=[GET_WEATHER],
        tool_choice={"type": "tool", "name": "get_weather"},
    ) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_message()
    assert "input_json" in events
    assert final.content[-1].input["city"] in ("Paris", "London", "Berlin")


def test_parse_makes_an_object_of_the_answer(client: Any) -> None:
    answer = client.messages.parse(
        model=MODEL,
        max_tokens=64,
        messages=said(PERSON),
        extra_body=GREEDY,
        output_format=Person,
    )
    assert isinstance(answer.parsed_output, Person)


def test_thoughts_are_streamed_and_go_back_with_the_result_of_a_call(
    make_desk: Callable[..., Desk],
) -> None:
    """By a model that says what is scripted: the small one does not think."""
    answers = [
        f"<think>I look it up.</think>{call('get_weather', PARIS)}",
        "<think>It shines.</think>It is sunny.",
    ]
    desk = make_desk(lambda _: {WEATHER: answers})
    asked: Any = {
        "model": SCRIPTED,
        "max_tokens": 2048,
        "tools": [GET_WEATHER],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    address = {"base_url": desk.address, "api_key": desk.server.key}
    with anthropic.Anthropic(**address) as client:
        with client.messages.stream(messages=said(WEATHER), **asked) as stream:
            kinds = {event.type for event in stream}
            first = stream.get_final_message()
        assert {"thinking", "signature", "input_json"} <= kinds
        thoughts, use = first.content
        assert (thoughts.type, thoughts.thinking) == ("thinking", "I look it up.")
        assert (use.type, use.input) == ("tool_use", {"city": "Paris"})
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "Sunny."}
        turns: Any = [
            *said(WEATHER),
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result]},
        ]
        second = client.messages.create(messages=turns, **asked)
        assert [block.type for block in second.content] == ["thinking", "text"]
        changed = thoughts.model_copy(update={"thinking": "I guess."})
        turns[1]["content"] = [changed, use]
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(messages=turns, **asked)


def test_tokens_are_counted_as_they_are_used(client: Any) -> None:
    system = "Be brief."
    count = client.messages.count_tokens(
        model=MODEL, messages=said(CAPITAL), system=system
    )
    usage = ask(client, CAPITAL, system=system).usage
    assert count.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_models_are_listed_and_found(client: Any) -> None:
    ids = [model.id for model in client.models.list(limit=1)]
    assert {MODEL, FOLDER_MODEL} <= set(ids)
    assert client.models.retrieve(MODEL).max_input_tokens > 0


def test_errors_have_their_classes(client: Any, server: Server) -> None:
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        client.messages.create(
            model=MODEL,
            max_tokens=1,
            messages=said(CAPITAL),
            extra_body={"temperature": 3},
        )
    with pytest.raises(anthropic.NotFoundError):
        ask(client, CAPITAL, model="no-such-model")
    stranger = anthropic.Anthropic(base_url=client.base_url, api_key="wrong")
    with pytest.raises(anthropic.AuthenticationError):
        ask(stranger, CAPITAL)


def test_claude_codes_first_request_is_answered(client: Any, server: Server) -> None:
    """As it is sent, but smaller: the model has 2,048 tokens of context."""
    body = {
        "model": MODEL,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": CAPITAL}]},
            {
                "role": "system",
                "content": [
                    {
                        "type": "text",
                        "text": "Be brief.",
                        "cache_control": {"type": "ephemeral"},
                    }
                ],
            },
        ],
        "system": [
            {
                "type": "text",
                "text": "x-anthropic-billing-header: cc_version=2; cch=1;",
            },
            {
                "type": "text",
                "text": "You help.",
                "cache_control": {"type": "ephemeral"},
            },
        ],
        "tools": [
            GET_WEATHER,
            {
                "name": "DeferredToolPlaceholder",
                "description": "Nothing.",
                "input_schema": {"type": "object", "properties": {}},
                "defer_loading": True,
            },
        ],
        "metadata": {"user_id": "u" * 150},
        "max_tokens": 32,
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {
            "edits": [{"type": "clear_thinking_20251015", "keep": "all"}]
        },
        "output_config": {"effort": "high"},
        "stream": True,
    }
    betas = "claude-code-20250219,interleaved-thinking-2025-05-14"
    with httpx.stream(
        "POST",
        f"http://{server.host}:{server.port}/v1/messages?beta=true",
        json=body,
        headers={
            "x-api-key": server.key,
            "anthropic-version": "2023-06-01",
            "anthropic-beta": betas,
        },
        timeout=120,
    ) as response:
        assert response.status_code == 200, response.read()
        lines = list(response.iter_lines())
    left_out = set(response.headers["x-llm-manager-left-out"].split(", "))
    assert left_out == {"system[0]", "thinking", "output_config.effort"}
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert events[-1] == {"type": "message_stop"}
    assert events[-2]["context_management"] == {"applied_edits": []}
