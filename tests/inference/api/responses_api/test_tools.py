"""Tools of a response: namespaces, custom tools, choices, and what comes back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from inference.api.responses_api.body.called_tools import CalledTool
from inference.api.responses_api.output.items import CustomCallItem
from inference.engine.structured_output.control_tokens import resolve_control_tokens
from inference.output_parsers.families import OUTPUT_PARSERS
from tests.inference.api.responses_api.helpers import (
    WEATHER,
    create,
    refused,
    stream,
)
from tests.inference.api.tool_models import make_tool_model, script
from tests.inference.engine.structured_output.recogniser import allows
from tests.openai_schema import check

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

PATCH: dict[str, Any] = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Changes a file.",
}
AGENTS: dict[str, Any] = {
    "type": "namespace",
    "name": "agents",
    "description": "Other agents.",
    "tools": [{"type": "function", "name": "close", "parameters": None}, PATCH],
}


def call(name: str, arguments: str) -> str:
    return f'<tool_call>{{"name": "{name}", "arguments": {arguments}}}</tool_call>'


def call_of(text: str) -> str:
    """Return a call of apply_patch as the model writes it."""
    return OUTPUT_PARSERS["hermes"].framing.write([("apply_patch", {"input": text})])


@pytest.fixture
async def hermes(api: Api) -> Api:
    await make_tool_model("hermes")
    return api


async def test_tools_of_a_namespace_are_shown_flat_and_called_by_both_names(
    hermes: Api, engine: FakeEngineClient
) -> None:
    script(engine, call("agents__close", "{}"))

    response = await create(hermes, model="hermes", tools=[AGENTS])

    assert '"name": "agents__close"' in engine.requests[0].prompt
    assert "Other agents." in engine.requests[0].prompt
    (item,) = response["output"]
    assert (item["namespace"], item["name"]) == ("agents", "close")
    assert response["tools"][0]["tools"][0]["name"] == "close"


async def test_the_input_of_a_custom_tool_comes_as_it_is_written(
    hermes: Api, engine: FakeEngineClient
) -> None:
    text = 'a "quoted" line\nand another \\ é 😀'
    escaped = json.dumps({"input": text})
    for size in (1, 3, 7, 100):
        script(engine, call("apply_patch", escaped), size)
        events = await stream(hermes, model="hermes", tools=[PATCH])
        deltas = [
            each["delta"]
            for each in events
            if each["type"] == "response.custom_tool_call_input.delta"
        ]

        assert "".join(deltas) == text
        item = events[-1]["response"]["output"][0]
        assert (item["type"], item["input"]) == ("custom_tool_call", text)
        assert item["name"] == "apply_patch"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        # No escapes of JSON, as small models write them: all of it comes nevertheless.
        (r'{"input": "grep \d+ x"}', r"grep \d+ x"),
        (r'{"input": "a \ud83d b"}', r"a \ud83d b"),
        (r'{"input": "a \u12 b"}', r"a \u12 b"),
        # What stands after the input is none of it.
        (r'{"input": "a", "b": "\d"}', "a"),
        (r'{"input": ""}', ""),
    ],
)
def test_no_part_of_a_custom_tools_input_is_lost(arguments: str, text: str) -> None:
    for size in (1, 2, 5, 100):
        item = CustomCallItem("0", 0, "call_0", CalledTool("apply", is_custom=True))
        events = [
            event
            for start in range(0, len(arguments), size)
            for event in item.add(arguments[start : start + size], [])
        ]
        events += item.end("completed")
        deltas = [e["delta"] for e in events if e["type"].endswith("input.delta")]
        assert "".join(deltas) == item.item()["input"] == text


def test_an_escape_that_is_cut_off_is_left_away() -> None:
    item = CustomCallItem("0", 0, "call_0", CalledTool("apply", is_custom=True))
    list(item.add(r'{"input": "a\u00', []))
    list(item.end("incomplete"))
    assert item.item()["input"] == "a"


async def test_the_input_of_a_custom_tool_matches_its_regex(
    hermes: Api, engine: FakeEngineClient
) -> None:
    digits = {"type": "grammar", "syntax": "regex", "definition": "[0-9]{3}"}
    script(engine, call("apply_patch", '{"input": "123"}'))

    await create(
        hermes,
        model="hermes",
        tools=[{**PATCH, "format": digits}],
        tool_choice={"type": "custom", "name": "apply_patch"},
    )

    grammar = engine.requests[0].params.grammar
    assert grammar is not None
    assert "[0-9]{3}" in grammar.source


async def test_the_input_of_a_custom_tool_matches_its_lark_grammar(
    hermes: Api, engine: FakeEngineClient
) -> None:
    def with_grammar(definition: str) -> dict[str, Any]:
        grammar = {"type": "grammar", "syntax": "lark", "definition": definition}
        return {**PATCH, "format": grammar}

    patch = with_grammar('start: "a\\n" INT\n%import common.INT')
    script(engine, call("apply_patch", '{"input": "a\\\\n12"}'))

    response = await create(
        hermes,
        model="hermes",
        tools=[patch],
        tool_choice={"type": "custom", "name": "apply_patch"},
    )

    grammar = engine.requests[0].params.grammar
    assert grammar is not None
    assert allows(resolve_control_tokens(grammar, {}), call_of("a\n12"))
    assert not allows(resolve_control_tokens(grammar, {}), call_of("a\nb"))
    assert response["tools"] == [patch]
    assert "Its input matches this lark grammar" in engine.requests[0].prompt

    error = await refused(hermes, model="hermes", tools=[with_grammar("begin: /a/")])
    assert error["param"] == "tools[0].format.definition"
    error = await refused(
        hermes, model="hermes", tools=[with_grammar("start: <think>")]
    )
    assert "'<think>' is not supported" in error["message"]


async def test_strictness_is_the_servers_choice_where_none_is_given(
    hermes: Api, engine: FakeEngineClient
) -> None:
    open_tool = {name: value for name, value in WEATHER.items() if name != "strict"}
    loose = {**open_tool, "parameters": {"type": "object", "not": {"required": ["x"]}}}
    script(engine, "No.")
    script(engine, "No.")

    strict = await create(hermes, model="hermes", tools=[open_tool])
    free = await create(hermes, model="hermes", tools=[loose])

    assert strict["tools"][0]["strict"] is True
    assert engine.requests[0].params.grammar is not None
    assert free["tools"][0]["strict"] is False
    assert engine.requests[1].params.grammar is None


@pytest.mark.parametrize(
    ("choice", "shown"),
    [
        ("none", []),
        ({"type": "function", "name": "close"}, ["get_weather", "agents__close"]),
        ({"type": "function", "name": "agents__close"}, ["agents__close"]),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [
                    {"type": "function", "name": "get_weather"},
                    {"type": "web_search"},
                ],
            },
            ["get_weather"],
        ),
    ],
)
async def test_every_form_of_tool_choice_is_honoured(
    choice: Any, shown: list[str], hermes: Api, engine: FakeEngineClient
) -> None:
    script(engine, call("agents__close", "{}") if "close" in str(choice) else "No.")

    response = await create(
        hermes, model="hermes", tools=[WEATHER, AGENTS], tool_choice=choice
    )

    prompt = engine.requests[0].prompt
    names = [name for name in ("get_weather", "agents__close") if name in prompt]
    assert set(shown) <= set(names)
    assert response["tool_choice"] == choice
    if choice == "none":
        assert names == []


async def test_a_choice_of_a_tool_that_is_not_there_is_refused(hermes: Api) -> None:
    error = await refused(
        hermes,
        model="hermes",
        tools=[WEATHER],
        tool_choice={"type": "custom", "name": "get_weather"},
    )

    assert error["param"] == "tool_choice"


async def test_a_turn_comes_back_as_the_model_wrote_it(
    hermes: Api, engine: FakeEngineClient
) -> None:
    script(engine, "It rains.")

    await create(
        hermes,
        model="hermes",
        tools=[WEATHER, AGENTS],
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "Ask."}],
            },
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {"type": "output_text", "text": "Wait.", "annotations": []}
                ],
            },
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "get_weather",
                "arguments": '{"city":"Oslo"}',
            },
            {
                "type": "custom_tool_call",
                "call_id": "call_2",
                "namespace": "agents",
                "name": "apply_patch",
                "input": "x",
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "Rain"},
            {
                "type": "custom_tool_call_output",
                "call_id": "call_2",
                "output": [{"type": "input_text", "text": "Done"}],
            },
        ],
    )

    prompt = engine.requests[0].prompt
    turns = prompt[prompt.index("[user") :]
    assert turns.count("[assistant") == 1
    assert "Wait." in turns
    assert "Ask." in turns
    assert "call_1" in turns
    assert '"agents__apply_patch"' in turns
    assert "[tool get_weather Rain" in turns
    assert "[tool agents__apply_patch Done" in turns


async def test_a_call_without_an_output_is_refused(hermes: Api) -> None:
    error = await refused(
        hermes,
        model="hermes",
        input=[
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "f",
                "arguments": "{}",
            },
            {"role": "user", "content": "And?"},
        ],
    )

    assert "call_1" in error["message"]
    assert error["param"] == "input"


async def test_tools_that_come_with_the_input_are_called_as_those_of_the_request(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    named = {"type": "custom", "name": "exec", "description": "Runs a script."}
    added = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [
            {"type": "namespace", "name": "functions", "tools": [named]},
            {"type": "web_search"},
        ],
    }
    arguments = {"name": "functions__exec", "arguments": {"input": "x = 1"}}
    script(engine, f"<tool_call>{json.dumps(arguments)}</tool_call>")

    answer = await api.post(
        "/v1/responses",
        {
            "model": "hermes",
            "input": [added, {"role": "user", "content": "Run it."}, added],
        },
    )

    assert answer.status_code == 200, answer.content
    check("Response", answer.json())
    (call,) = answer.json()["output"]
    assert (call["type"], call["namespace"], call["name"], call["input"]) == (
        *("custom_tool_call", "functions", "exec"),
        "x = 1",
    )
    assert answer.json()["tools"] == []
    assert answer["x-llm-manager-left-out"] == "input[0].tools[1]"
