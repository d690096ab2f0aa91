"""Strict tools with `tool_choice: auto`: free text, and calls that match."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from inference.api.chat.strict_tools import strict_grammar
from inference.api.chat.tool_use import ToolUse
from inference.engine.structured_output.control_tokens import resolve_control_tokens
from inference.output_parsers.families import OUTPUT_PARSERS
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
ANNOUNCED = {
    name: parser.framing.before_content
    for name, parser in OUTPUT_PARSERS.items()
    if parser.framing.before_content
}
TEXTS = [
    "",
    "It is sunny.",
    'A list:\n- {"a": 1}\n\n{"city": "Paris"}\n[1, 2]\n',
    '{"name": "Bob", "arguments": {"town": 1}}',
    'Say {"name": "get_weather"} and <b>so</b> on.\n```json\n{"a": []}\n```',
]


def admits(family: str, text: str, *, reasons: bool = False) -> bool:
    """Return whether a model of this family may write the text and end."""
    prompt = Prompt(
        "", has_bos=False, output_parser=OUTPUT_PARSERS[family], reasons=reasons
    )
    tools = (STRICT, LOOSE)
    grammar = strict_grammar(prompt, ToolUse(tools, tools))
    assert grammar is not None
    return allows(resolve_control_tokens(grammar, {}), text)


def call(family: str, *calls: tuple[str, dict[str, Any]]) -> str:
    return OUTPUT_PARSERS[family].framing.write(calls)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_text_is_free(family: str, text: str) -> None:
    assert admits(family, ANNOUNCED.get(family, "") + text)


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_a_call_matches_its_schema(family: str) -> None:
    assert admits(family, call(family, ("get_weather", GOOD)))
    assert not admits(family, call(family, ("get_weather", BAD)))
    assert not admits(family, call(family, ("get_weather", {"days": 1})))


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_a_call_of_a_tool_that_is_not_strict_is_as_the_model_likes(
    family: str,
) -> None:
    assert admits(family, call(family, ("now", {})))
    assert admits(family, call(family, ("now", {"zone": "CET"})))


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_a_call_of_an_unknown_tool_cannot_be_written(family: str) -> None:
    text = call(family, ("delete", {}))
    parser = OUTPUT_PARSERS[family].for_answer(
        {"get_weather": {}, "now": {}}, names_first=True
    )

    if admits(family, ANNOUNCED.get(family, "") + text):
        # Then it is no more than text.
        assert answer_of([*parser.push(text), *parser.finish()]).calls == []


@pytest.mark.parametrize("family", sorted(OUTPUT_PARSERS.keys() - ANNOUNCED.keys()))
def test_calls_may_follow_text_and_one_another(family: str) -> None:
    good = call(family, ("get_weather", GOOD))
    bad = call(family, ("get_weather", BAD))

    assert admits(family, f"Let me see.\n{good}")
    assert not admits(family, f"Let me see.\n{bad}")
    assert admits(family, f"{good}\n{good}\nDone.")
    assert not admits(family, f"{good}\n{bad}")


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_reasoning_is_free(family: str) -> None:
    reasoning = OUTPUT_PARSERS[family].reasoning
    framing = OUTPUT_PARSERS[family].framing
    bad = call("hermes", ("get_weather", BAD))
    written = (
        f"{reasoning.begin[0]}Hm. {bad}{reasoning.end[0]}{framing.after_reasoning}"
    )
    answer = ANNOUNCED.get(family, "\n\n") + "Yes."

    assert admits(family, written + answer, reasons=True)
    assert admits(family, ANNOUNCED.get(family, "") + "Yes.", reasons=True)
    assert admits(family, written + call(family, ("now", {})), reasons=True)
    assert not admits(
        family, written + call(family, ("get_weather", BAD)), reasons=True
    )


@pytest.mark.parametrize("family", ["llama3", "plain_json"])
@pytest.mark.parametrize(
    "text",
    [
        '{"arguments": {"town": 1}, "name": "get_weather"}',
        '{"type": "function", "name": "get_weather", "arguments": {"town": 1}}',
    ],
)
def test_an_object_with_another_beginning_is_no_call(family: str, text: str) -> None:
    parser = OUTPUT_PARSERS[family].for_answer({"get_weather": {}}, names_first=True)

    assert admits(family, text)
    answer = answer_of([*parser.push(text), *parser.finish()])
    assert answer.calls == []
    assert answer.content == text


@pytest.mark.parametrize("family", ["llama3", "plain_json"])
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
def test_calls_in_lists_and_fences_match_too(family: str, text: str) -> None:
    assert admits(family, text.format(json.dumps(GOOD)))
    assert not admits(family, text.format(json.dumps(BAD)))


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
    bound = [request.params.grammar is not None for request in engine.requests]
    assert bound == [True, False, False]


async def test_formats_that_cannot_be_enforced_are_refused_by_name(api: Api) -> None:
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
