"""Strict tools with `tool_choice: auto`: free text, and calls that match."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from inference.api.chat.strict_tools import strict_constraint
from inference.api.chat.tools import ToolUse
from inference.engine.structured_output.control_tokens import spelled
from inference.output_parsers.families import DIALECTS
from inference.prompts.chat import Prompt
from inference.prompts.messages import Tool
from tests.inference.api.tool_models import (
    NOW,
    WEATHER,
    called,
    choice_of,
    make_tool_model,
    script,
)
from tests.inference.engine.structured_output.recogniser import allows
from tests.inference.output_parsers.answers import answer_of

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api

STRICT = Tool("get_weather", "", WEATHER["function"]["parameters"], strict=True)
LOOSE = Tool("now")
GOOD, BAD = {"city": "Paris"}, {"town": "Paris"}
#: Formats in which content has to be announced.
ANNOUNCED = {"harmony": "<|channel|>final<|message|>", "functionary_v32": "all\n"}
TEXTS = [
    "",
    "It is sunny.",
    'A list:\n- {"a": 1}\n\n{"city": "Paris"}\n[1, 2]\n',
    '{"name": "Bob", "arguments": {"town": 1}}',
    'Say {"name": "get_weather"} and <b>so</b> on.\n```json\n{"a": []}\n```',
]


def admits(dialect: str, text: str, *, reasons: bool = False) -> bool:
    """Return whether a model of this dialect may write the text and end."""
    prompt = Prompt("", has_bos=False, dialect=DIALECTS[dialect], reasons=reasons)
    tools = (STRICT, LOOSE)
    constraint = strict_constraint(prompt, ToolUse(tools, tools))
    assert constraint is not None
    return allows(spelled(constraint, {}), text)


def call(dialect: str, *calls: tuple[str, dict[str, Any]]) -> str:
    return DIALECTS[dialect].framing.write(calls)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_text_is_free(dialect: str, text: str) -> None:
    assert admits(dialect, ANNOUNCED.get(dialect, "") + text)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_matches_its_schema(dialect: str) -> None:
    assert admits(dialect, call(dialect, ("get_weather", GOOD)))
    assert not admits(dialect, call(dialect, ("get_weather", BAD)))
    assert not admits(dialect, call(dialect, ("get_weather", {"days": 1})))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_of_a_tool_that_is_not_strict_is_as_the_model_likes(
    dialect: str,
) -> None:
    assert admits(dialect, call(dialect, ("now", {})))
    assert admits(dialect, call(dialect, ("now", {"zone": "CET"})))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_of_a_tool_that_there_is_not_cannot_be_written(dialect: str) -> None:
    text = call(dialect, ("delete", {}))
    parser = DIALECTS[dialect].parser({"get_weather": {}, "now": {}}, names_first=True)

    if admits(dialect, ANNOUNCED.get(dialect, "") + text):
        # Then it is no more than text.
        assert answer_of([*parser.push(text), *parser.finish()]).calls == []


@pytest.mark.parametrize("dialect", sorted(DIALECTS.keys() - ANNOUNCED.keys()))
def test_calls_may_follow_text_and_one_another(dialect: str) -> None:
    good = call(dialect, ("get_weather", GOOD))
    bad = call(dialect, ("get_weather", BAD))

    assert admits(dialect, f"Let me see.\n{good}")
    assert not admits(dialect, f"Let me see.\n{bad}")
    assert admits(dialect, f"{good}\n{good}\nDone.")
    assert not admits(dialect, f"{good}\n{bad}")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_thought_is_free(dialect: str) -> None:
    reasoning = DIALECTS[dialect].reasoning
    framing = DIALECTS[dialect].framing
    bad = call("hermes", ("get_weather", BAD))
    thought = (
        f"{reasoning.begin[0]}Hm. {bad}{reasoning.end[0]}{framing.after_reasoning}"
    )
    answer = ANNOUNCED.get(dialect, "\n\n") + "Yes."

    assert admits(dialect, thought + answer, reasons=True)
    assert admits(dialect, ANNOUNCED.get(dialect, "") + "Yes.", reasons=True)
    assert admits(dialect, thought + call(dialect, ("now", {})), reasons=True)
    assert not admits(
        dialect, thought + call(dialect, ("get_weather", BAD)), reasons=True
    )


@pytest.mark.parametrize("dialect", ["llama3", "plain_json"])
@pytest.mark.parametrize(
    "text",
    [
        '{"arguments": {"town": 1}, "name": "get_weather"}',
        '{"type": "function", "name": "get_weather", "arguments": {"town": 1}}',
    ],
)
def test_an_object_that_begins_otherwise_is_no_call(dialect: str, text: str) -> None:
    parser = DIALECTS[dialect].parser({"get_weather": {}}, names_first=True)

    assert admits(dialect, text)
    answer = answer_of([*parser.push(text), *parser.finish()])
    assert answer.calls == []
    assert answer.content == text


@pytest.mark.parametrize("dialect", ["llama3", "plain_json"])
@pytest.mark.parametrize(
    "text",
    [
        '\n\n {{"name":"get_weather" ,\n"arguments":{}}}',
        '```json\n{{"name": "get_weather", "parameters": {}}}\n```',
        '[{{"name": "get_weather", "arguments": {}}}]',
        'So:\n{{"name": "get_weather", "arguments": {}}}, '
        '{{"name": "now", "arguments": {{}}}}',
    ],
)
def test_calls_in_lists_and_fences_match_too(dialect: str, text: str) -> None:
    assert admits(dialect, text.format(json.dumps(GOOD)))
    assert not admits(dialect, text.format(json.dumps(BAD)))


async def test_a_strict_tool_binds_calls_and_no_tool_binds_nothing(
    api: Api, engine: FakeEngineClient
) -> None:
    await make_tool_model("hermes")
    strict = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}
    for _ in range(3):
        script(engine, call("hermes", ("get_weather", GOOD)))

    choice = await choice_of(api, model="hermes", tools=[strict, NOW])
    await choice_of(api, model="hermes", tools=[WEATHER, NOW])
    await choice_of(api, model="hermes", tools=[strict], tool_choice="none")

    assert called(choice["message"]) == [("get_weather", GOOD)]
    bound = [job.params.constraint is not None for job in engine.jobs]
    assert bound == [True, False, False]


async def test_what_a_format_cannot_enforce_is_refused_by_name(api: Api) -> None:
    await make_tool_model("glm45")
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string", "pattern": "^[A-Z]+$"}},
    }
    function = {"name": "f", "parameters": parameters, "strict": True}

    response = await api.chat(
        model="glm45", tools=[{"type": "function", "function": function}]
    )

    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "tools")
    assert "pattern" in error["message"]
