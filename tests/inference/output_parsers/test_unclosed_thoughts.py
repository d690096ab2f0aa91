"""A call in reasoning that is never closed is a call; in closed reasoning it is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.output_parsers import ReasoningDelta, ToolCallBegin
from inference.output_parsers.families import OUTPUT_PARSERS
from tests.inference.output_parsers.answers import TOOLS, Answer, parse

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_weather", {"city": "Paris", "days": 3}),
    ("get", {"url": "a"}),
]
THOUGHT = "I need it, with <b>tags</b> & {braces}:\n[links] and\n\nmore."
#: Families whose calls contain what ends their reasoning.
ENDED_BY_CALLS = {
    name for name, parser in OUTPUT_PARSERS.items() if parser.reasoning.stops
}


def written(family: str) -> str:
    """Return calls as the family writes them."""
    framing = OUTPUT_PARSERS[family].framing
    is_one = framing.separator is None or family in ENDED_BY_CALLS
    return framing.write(CALLS[:1] if is_one else CALLS)


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
@pytest.mark.parametrize("thought", ["", "I need it.", THOUGHT])
@pytest.mark.parametrize("in_reasoning", [False, True])
def test_a_call_in_unclosed_reasoning_is_a_call(
    family: str, thought: str, *, in_reasoning: bool
) -> None:
    opening = "" if in_reasoning else OUTPUT_PARSERS[family].reasoning.opening
    text = f"{opening}{thought}\n{written(family)}"
    answer = parse(family, text, in_reasoning=in_reasoning)
    assert (answer.reasoning, answer.content) == (thought, "")
    expected = CALLS[: len(answer.calls)]
    assert [(name, json.loads(text)) for name, text in answer.calls] == expected
    assert expected


@pytest.mark.parametrize("family", sorted(OUTPUT_PARSERS.keys() - ENDED_BY_CALLS))
def test_a_call_in_closed_reasoning_is_reasoning(family: str) -> None:
    parser = OUTPUT_PARSERS[family]
    thought = f"I could:\n{written(family)}\nor not."
    after = parser.framing.after_reasoning + parser.framing.before_content
    text = parser.reasoning.opening + thought + parser.reasoning.closing
    answer = parse(family, f"{text}{after}Hello.")
    assert answer == Answer("Hello.", reasoning=thought)


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_what_begins_no_call_of_a_tool_is_reasoning(family: str) -> None:
    parser = OUTPUT_PARSERS[family]
    mark = (*parser.framing.openers, "")[0]
    thought = f"I would write {mark} now.\nnobody knows.\nget it?"
    assert parse(family, thought, in_reasoning=True).reasoning == thought


def test_text_after_a_call_in_unclosed_reasoning_is_content() -> None:
    call = '<tool_call>{"name": "now"}</tool_call>'
    answer = parse("hermes", f"<think>Hm.{call}\nLooking.{call}")
    assert answer == Answer("Looking.", "Hm.", [("now", "{}")] * 2)


def test_reasoning_comes_while_it_is_written_up_to_a_call() -> None:
    parser = OUTPUT_PARSERS["hermes"].for_answer(TOOLS, starts_in_reasoning=True)
    assert parser.push("Hm <tool_call> hm") == [ReasoningDelta("Hm <tool_call> hm")]
    assert parser.push(' <tool_call>{"name": "now", ') == []
    assert parser.push("So </think>") == [
        ReasoningDelta(' <tool_call>{"name": "now", So')
    ]


def test_a_call_in_reasoning_is_certain_at_the_end() -> None:
    parser = OUTPUT_PARSERS["hermes"].for_answer(TOOLS, starts_in_reasoning=True)
    assert parser.push('<tool_call>{"name": "now"}</tool_call>') == []
    (begin, _) = parser.finish()
    assert isinstance(begin, ToolCallBegin)


def test_where_a_grammar_holds_the_calls_a_thought_has_none() -> None:
    parser = OUTPUT_PARSERS["hermes"].for_answer(
        TOOLS, starts_in_reasoning=True, names_first=True
    )
    text = '<tool_call>{"name": "now"}</tool_call>'
    deltas = [*parser.push(text), *parser.finish()]
    assert deltas == [ReasoningDelta(text)]
