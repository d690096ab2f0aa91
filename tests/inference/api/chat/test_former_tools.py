"""OpenAI's former members: functions, function_call and the role function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.inference.api.tool_models import (
    NOW,
    TEMPLATE,
    WEATHER,
    choice_of,
    chunks_of,
    make_tool_model,
    script,
)

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

FUNCTIONS = [WEATHER["function"], NOW["function"]]
ASK = {"role": "user", "content": "Hi"}
CALL = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
CALLED = {"role": "assistant", "content": None, "function_call": CALL}
ANSWERED = {"role": "function", "name": "get_weather", "content": "sunny"}
HERMES_CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


async def test_a_call_is_the_function_call_of_the_message(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    script(engine, HERMES_CALL + HERMES_CALL)

    choice = await choice_of(api, model="hermes", functions=FUNCTIONS)

    assert choice["finish_reason"] == "function_call"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "function_call": {"name": "now", "arguments": "{}"},
    }


async def test_a_stream_has_the_name_first_and_then_the_arguments(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    script(engine, f"So:\n{HERMES_CALL}", 1000)

    chunks = await chunks_of(api, model="hermes", functions=FUNCTIONS)

    assert [chunk["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": None},
        {"content": "So:"},
        {"function_call": {"name": "now", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        {},
    ]
    assert chunks[-1]["finish_reason"] == "function_call"


async def test_an_answer_without_a_call_is_as_always(
    api: Api, engine: FakeEngineClient
) -> None:
    script(engine, "Hello.")

    choice = await choice_of(api, functions=FUNCTIONS)

    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == "Hello."


async def test_a_history_of_calls_is_one_of_tools(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    call = {"id": "call_get_weather", "type": "function", "function": CALL}
    today = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_get_weather", "content": "sunny"},
    ]

    await api.chat(
        model="hermes", functions=FUNCTIONS, messages=[ASK, CALLED, ANSWERED]
    )
    await api.chat(
        model="hermes",
        tools=[{"type": "function", "function": each} for each in FUNCTIONS],
        messages=[ASK, *today],
    )

    former, new = (request.prompt for request in engine.requests)
    assert former == new
    assert "sunny" in str(former)


@pytest.mark.parametrize(
    ("choice", "tools", "must_call"),
    [
        ("auto", "get_weather", False),
        ("none", "", False),
        ({"name": "now"}, "get_weather", True),
    ],
)
async def test_the_choice_is_the_one_of_tools(
    api: Api, engine: FakeEngineClient, choice: Any, tools: str, must_call: bool
) -> None:
    await make_tool_model("hermes")

    await api.chat(model="hermes", functions=FUNCTIONS, function_call=choice)

    [request] = engine.requests
    assert tools in str(request.prompt)
    assert ("get_weather" in str(request.prompt)) is bool(tools)
    assert (request.params.grammar is not None) is must_call


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"functions": FUNCTIONS, "tools": [NOW]}, "functions"),
        ({"functions": FUNCTIONS, "tool_choice": "required"}, "functions"),
        (
            {"functions": FUNCTIONS, "function_call": {"name": "other"}},
            "function_call",
        ),
        ({"function_call": {"name": "now"}, "tools": [NOW]}, "function_call"),
        ({"functions": [NOW["function"]] * 2}, "functions[0].name"),
        (
            {
                "functions": [
                    {"name": "f", "strict": True, "parameters": {"not": {}}},
                ]
            },
            "functions[0].parameters.not",
        ),
        ({"messages": [ASK, ANSWERED]}, "messages[1].name"),
        ({"messages": [ASK, CALLED, ASK]}, "messages[1].function_call"),
        (
            {"messages": [ASK, CALLED, {**ANSWERED, "name": "now"}]},
            "messages[2].name",
        ),
        (
            {
                "messages": [
                    ASK,
                    {
                        **CALLED,
                        "tool_calls": [
                            {"id": "a", "type": "function", "function": CALL}
                        ],
                    },
                    ANSWERED,
                ]
            },
            "messages[1].function_call",
        ),
    ],
)
async def test_what_cannot_be_is_refused_by_its_former_name(
    api: Api, engine: FakeEngineClient, body: dict[str, Any], param: str
) -> None:
    response = await api.chat(**body)

    assert response.status_code == 400, response.content
    assert response.json()["error"]["param"] == param
    assert engine.requests == []


async def test_nothing_former_is_asked_by_empty_members(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes", template="{# <tool_call> #}" + TEMPLATE)
    script(engine, HERMES_CALL)

    choice = await choice_of(
        api, model="hermes", functions=[], function_call="auto", tools=[NOW]
    )

    assert choice["finish_reason"] == "tool_calls"
