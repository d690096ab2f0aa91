"""Tools, choices of tools and output schemas of POST /v1/messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.inference.api.messages.sending import (
    NOW,
    WEATHER,
    answer,
    assistant,
    refusal,
    result,
    send,
    use,
    user,
)
from tests.inference.api.tool_models import make_tool_model, script

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

LEFT_OUT = "x-llm-manager-left-out"
DEFERRED = {**NOW, "defer_loading": True}


def call(name: str, **arguments: Any) -> str:
    """Return a call as hermes writes it."""
    written = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{written}\n</tool_call>"


@pytest.fixture
async def hermes(api: Api) -> Api:
    """The API with a model that calls tools."""
    await make_tool_model("hermes")
    return api


async def test_calls_are_blocks_with_their_input(
    hermes: Api, engine: FakeEngineClient
) -> None:
    script(engine, call("get_weather", city="Oslo") + call("now"))

    found = await answer(hermes, model="hermes", tools=[WEATHER, NOW])

    assert [(b["type"], b["name"], b["input"]) for b in found["content"]] == [
        ("tool_use", "get_weather", {"city": "Oslo"}),
        ("tool_use", "now", {}),
    ]
    assert found["stop_reason"] == "tool_use"


async def test_a_call_that_is_cut_has_the_input_so_far(
    hermes: Api, engine: FakeEngineClient
) -> None:
    whole = call("get_weather", city="Oslo, Norway")
    script(engine, whole[: whole.index(", Norway")], reason="length")

    found = await answer(hermes, model="hermes", tools=[WEATHER], max_tokens=20)

    assert found["content"][0]["input"] == {"city": "Oslo"}
    assert found["stop_reason"] in ("max_tokens", "model_context_window_exceeded")


@pytest.mark.parametrize(
    ("choice", "calls"),
    [
        ({"type": "auto"}, ["now", "now"]),
        ({"type": "auto", "disable_parallel_tool_use": True}, ["now"]),
        ({"type": "any", "disable_parallel_tool_use": True}, ["now"]),
        ({"type": "tool", "name": "now"}, ["now"]),
    ],
)
async def test_a_choice_limits_the_calls(
    hermes: Api, engine: FakeEngineClient, choice: dict[str, Any], calls: list[str]
) -> None:
    script(engine, call("now") + call("now"))

    found = await answer(
        hermes, model="hermes", tools=[WEATHER, NOW], tool_choice=choice
    )

    assert [block["name"] for block in found["content"]] == calls


@pytest.mark.parametrize("kind", ["any", "tool"])
async def test_a_required_call_is_enforced(
    hermes: Api, engine: FakeEngineClient, kind: str
) -> None:
    script(engine, call("now"))
    choice = {"type": kind, **({"name": "now"} if kind == "tool" else {})}

    await answer(hermes, model="hermes", tools=[WEATHER, NOW], tool_choice=choice)

    assert engine.requests[0].params.grammar is not None


async def test_without_a_choice_nothing_is_called(
    hermes: Api, engine: FakeEngineClient
) -> None:
    await answer(hermes, model="hermes", tools=[NOW], tool_choice={"type": "none"})

    assert '"now"' not in engine.requests[0].prompt


async def test_an_output_schema_is_enforced(api: Api, engine: FakeEngineClient) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}

    for body in ({"output_config": {"format": form}}, {"output_format": form}):
        await answer(api, **body)
        assert engine.requests[-1].params.grammar is not None


async def test_two_formats_that_differ_are_refused(api: Api) -> None:
    said = await refusal(
        api,
        output_config={"format": {"type": "json_schema", "schema": {}}},
        output_format={"type": "json_schema", "schema": {"type": "object"}},
    )

    assert "'output_config.format' and 'output_format'" in said


@pytest.mark.parametrize("kind", [{"a": 1}, ["bash_20250124"], 7, True])
async def test_a_tool_whose_type_is_no_text_is_refused(api: Api, kind: object) -> None:
    said = await refusal(api, tools=[{"type": kind, "name": "bash"}])
    assert "tools[0]" in said


async def test_examples_of_inputs_are_shown(
    hermes: Api, engine: FakeEngineClient
) -> None:
    tool = {**WEATHER, "input_examples": [{"city": "Lima"}]}

    await answer(hermes, model="hermes", tools=[tool])

    assert "Lima" in engine.requests[0].prompt


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("bash_20250124", "bash"),
        ("text_editor_20250728", "str_replace_based_edit_tool"),
        ("memory_20250818", "memory"),
    ],
)
async def test_tools_that_anthropic_defines_and_the_client_runs_are_described(
    hermes: Api, engine: FakeEngineClient, kind: str, name: str
) -> None:
    response = await send(hermes, model="hermes", tools=[{"type": kind, "name": name}])

    assert response.status_code == 200, response.content
    assert not response.has_header(LEFT_OUT)
    assert f'"{name}"' in engine.requests[0].prompt
    assert '"command"' in engine.requests[0].prompt


async def test_a_deferred_tool_is_seen_once_a_search_has_found_it(
    hermes: Api, engine: FakeEngineClient
) -> None:
    tools = [{"name": "search", "input_schema": {"type": "object"}}, DEFERRED]
    await answer(hermes, model="hermes", tools=tools)
    assert '"now"' not in engine.requests[-1].prompt

    reference = {"type": "tool_reference", "tool_name": "now"}
    await answer(
        hermes,
        user("Time?"),
        assistant([use("search")]),
        user([result([reference])]),
        model="hermes",
        tools=tools,
    )
    assert '"now"' in engine.requests[-1].prompt


async def test_tools_are_added_and_removed_in_a_conversation(
    hermes: Api, engine: FakeEngineClient
) -> None:
    def change(kind: str, name: str) -> dict[str, Any]:
        return {"type": kind, "tool": {"type": "tool_reference", "name": name}}

    changes = [change("tool_addition", "now"), change("tool_removal", "get_weather")]
    await answer(
        hermes,
        user("Hi"),
        {"role": "system", "content": changes},
        model="hermes",
        tools=[WEATHER, DEFERRED],
    )

    prompt = engine.requests[0].prompt
    assert '"now"' in prompt
    assert '"get_weather"' not in prompt


async def test_a_request_with_tools_may_be_repeated_by_its_key(
    hermes: Api, engine: FakeEngineClient
) -> None:
    body = {
        "model": "hermes",
        "max_tokens": 50,
        "messages": [user("Time?")],
        "tools": [WEATHER, NOW],
        "tool_choice": {"type": "tool", "name": "now"},
        "output_config": {"effort": "low"},
    }
    found = []
    for _ in range(2):
        script(engine, call("now"))
        response = await hermes.post("/v1/messages", body, **{"Idempotency-Key": "a"})
        found.append(response.json()["content"])

    assert found[0][0]["name"] == "now"
    # The second one goes on with the events of the first.
    assert engine.so_far[1]
