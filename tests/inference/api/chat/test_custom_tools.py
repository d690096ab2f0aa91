"""Custom tools in chat completions: those whose input is a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from inference.engine.structured_output.control_tokens import resolve_control_tokens
from inference.output_parsers.families import OUTPUT_PARSERS
from tests.inference.api.tool_models import (
    NOW,
    choice_of,
    chunks_of,
    make_tool_model,
    script,
)
from tests.inference.engine.structured_output.recogniser import allows
from tests.openai_schema import check

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

TEXT = 'a "quoted" line\nand another \\ é 😀'
LARK = 'start: "a\\n" INT\n%import common.INT'


def patch(**more: Any) -> dict[str, Any]:
    """Return a custom tool."""
    about = {"name": "patch", "description": "Changes a file.", **more}
    return {"type": "custom", "custom": about}


def grammar(syntax: str, definition: str) -> dict[str, Any]:
    """Return a format."""
    given = {"syntax": syntax, "definition": definition}
    return {"type": "grammar", "grammar": given}


def call(**arguments: str) -> str:
    """Return a call as the model writes it."""
    return OUTPUT_PARSERS["hermes"].framing.write([("patch", arguments)])


@pytest.fixture
async def hermes(api: Api) -> Api:
    await make_tool_model("hermes")
    return api


async def test_the_input_comes_as_it_is_written(
    hermes: Api, engine: FakeEngineClient
) -> None:
    for size in (1, 3, 100):
        script(engine, "Well. " + call(input=TEXT), size)
        chunks = await chunks_of(hermes, model="hermes", tools=[patch(), NOW])
        calls = [
            each for chunk in chunks for each in chunk["delta"].get("tool_calls", ())
        ]

        assert (calls[0]["type"], calls[0]["custom"]["name"]) == ("custom", "patch")
        assert "".join(each["custom"]["input"] for each in calls) == TEXT
        assert all("function" not in each for each in calls)
        assert chunks[-1]["finish_reason"] == "tool_calls"

    script(engine, call(input=TEXT))
    choice = await choice_of(hermes, model="hermes", tools=[patch()])
    (called,) = choice["message"]["tool_calls"]
    assert called == {
        "id": called["id"],
        "type": "custom",
        "custom": {"name": "patch", "input": TEXT},
    }
    assert "Changes a file." in engine.requests[-1].prompt


async def test_custom_tools_and_functions_are_called_in_one_answer(
    hermes: Api, engine: FakeEngineClient
) -> None:
    now = OUTPUT_PARSERS["hermes"].framing.write([("now", {})])
    for _ in range(2):
        script(engine, call(input="x") + now + call(input="y"))
    body = {"model": "hermes", "tools": [patch(), NOW]}

    whole = (await choice_of(hermes, **body))["message"]["tool_calls"]
    chunks = await chunks_of(hermes, **body)

    assert [each["type"] for each in whole] == ["custom", "function", "custom"]
    assert whole[1]["function"] == {"name": "now", "arguments": "{}"}
    kinds = [
        each["type"]
        for chunk in chunks
        for each in chunk["delta"].get("tool_calls", ())
        if "type" in each
    ]
    assert kinds == ["custom", "function", "custom"]


async def test_the_input_matches_its_grammar(
    hermes: Api, engine: FakeEngineClient
) -> None:
    named = {"type": "custom", "custom": {"name": "patch"}}
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [named]},
    }
    forms = [grammar("lark", LARK), grammar("regex", r"a\n[0-9]+")]
    for choice in (named, allowed, "auto"):
        for form in forms:
            script(engine, call(input="a\n12"))
            tools = [patch(format=form), NOW]
            await choice_of(hermes, model="hermes", tools=tools, tool_choice=choice)

            source = engine.requests[-1].params.grammar
            assert source is not None
            text = resolve_control_tokens(source, {})
            assert allows(text, call(input="a\n12"))
            assert not allows(text, call(input="a\nb"))


async def test_a_call_comes_back_with_its_result(
    hermes: Api, engine: FakeEngineClient
) -> None:
    made = {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": TEXT}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "c1", "content": "Done."},
    ]

    response = await hermes.chat(model="hermes", messages=messages, tools=[patch()])

    assert response.status_code == 200, response.content
    prompt = engine.requests[0].prompt
    assert "[tool patch Done." in prompt
    assert json.loads(prompt.split("c1", 1)[1].split("[tool", 1)[0][:-1])[
        "arguments"
    ] == {"input": TEXT}


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        (patch(format=grammar("lark", "begin: /a/")), "format.grammar.definition"),
        (patch(format=grammar("regex", "(")), "parameters"),
        (patch(format=grammar("gbnf", "root ::= [a]")), "format.grammar.syntax"),
        (patch(format={"type": "xml"}), "format.type"),
        (patch(name="a b"), "name"),
        (patch(parameters={}), "parameters"),
    ],
)
async def test_a_fault_is_named_by_its_place(
    hermes: Api, tool: dict[str, Any], param: str
) -> None:
    response = await hermes.chat(model="hermes", tools=[tool])

    assert response.status_code == 400
    given = response.json()["error"]["param"]
    assert given.startswith(f"tools[0].custom.{param}"), given


async def test_no_function_has_a_grammar_of_its_own(hermes: Api) -> None:
    function = {**NOW["function"], "input_grammar": "start: /a/"}

    response = await hermes.chat(
        model="hermes", tools=[{"type": "function", "function": function}]
    )

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "unknown_parameter"


async def test_an_answer_with_a_call_fits_openais_schema(
    hermes: Api, engine: FakeEngineClient
) -> None:
    script(engine, call(input=TEXT))
    answer = await hermes.chat(model="hermes", tools=[patch()])
    check("CreateChatCompletionResponse", answer.json())
