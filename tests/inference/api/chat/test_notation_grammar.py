"""Forced calls whose arguments are not JSON match the schema, part by part."""

from __future__ import annotations

from typing import Any

import pytest

from inference.api.chat.tool_grammar import answer_grammar
from inference.api.chat.tool_use import ToolUse
from inference.api.errors import BadRequest
from inference.engine.structured_output.control_tokens import resolve_control_tokens
from inference.output_parsers.families import OUTPUT_PARSERS
from inference.prompts.chat import Prompt
from inference.prompts.messages import Tool
from tests.inference.engine.structured_output.recogniser import allows

FAMILIES = [name for name, parser in OUTPUT_PARSERS.items() if parser.framing.notation]
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "unit": {"enum": ["°C", "°F"]},
        "count": {"type": "integer", "minimum": 1},
        "done": {"type": ["boolean", "null"]},
        "tags": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": 2,
        },
        "place": {"$ref": "#/$defs/place"},
        "extra": {"type": "object"},
        "either": {"anyOf": [{"type": "integer"}, {"type": "array"}]},
    },
    "required": ["title"],
    "$defs": {
        "place": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "inside": {"$ref": "#/$defs/place"},
            },
            "required": ["city"],
            "additionalProperties": False,
        }
    },
}
GOOD: list[dict[str, Any]] = [
    {"title": ""},
    {"title": 'It\'s "so"\n, {a}: [1]'},
    {"title": "a", "unit": "°F", "count": 12, "done": True},
    {"title": "a", "done": None, "tags": ["b"]},
    {"title": "a", "tags": ["b", "c, d"]},
    {"title": "a", "place": {"city": "b", "inside": {"city": "c"}}},
    {"title": "a", "extra": {}},
    {"title": "a", "extra": {"b": {"c": [1, "d", None]}, "e": "f"}},
    {"title": "a", "either": 5},
    {"title": "a", "either": [1, "b", []]},
]
BAD: list[dict[str, Any]] = [
    {},
    {"unit": "°F"},
    {"title": "a", "unit": "K"},
    {"title": "a", "count": 0},
    {"title": "a", "count": "x"},
    {"title": "a", "done": 1},
    {"title": "a", "tags": []},
    {"title": "a", "tags": ["b", "c", "d"]},
    {"title": "a", "place": {}},
    {"title": "a", "place": {"city": "b", "inside": {"town": "c"}}},
    {"title": "a", "either": True},
    {"title": "a", "other": 1},
]


def admits(family: str, arguments: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Return whether a forced call may have these arguments, in the schema's order."""
    parser = OUTPUT_PARSERS[family]
    prompt = Prompt("", has_bos=False, output_parser=parser)
    tools = (Tool("save", "", schema, strict=True),)
    use = ToolUse(tools, tools, must_call=True)
    grammar = answer_grammar(prompt, use, None).grammar
    assert grammar is not None
    text = parser.framing.write([("save", arguments)])
    return allows(resolve_control_tokens(grammar, {}), text)


@pytest.mark.parametrize("arguments", GOOD, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_arguments_that_match_can_be_written(
    family: str, arguments: dict[str, Any]
) -> None:
    assert admits(family, arguments, PARAMETERS)


@pytest.mark.parametrize("arguments", BAD, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_arguments_that_do_not_match_cannot(
    family: str, arguments: dict[str, Any]
) -> None:
    assert not admits(family, arguments, PARAMETERS)


@pytest.mark.parametrize("family", FAMILIES)
def test_optional_arguments_may_be_left_out_anywhere(family: str) -> None:
    schema = {
        "type": "object",
        "properties": {key: {"type": "integer"} for key in "abcd"},
        "required": ["c"],
    }
    for keys in ("c", "ac", "bc", "abc", "cd", "acd", "abcd"):
        assert admits(family, dict.fromkeys(keys, 1), schema)
    for keys in ("", "a", "ad"):
        assert not admits(family, dict.fromkeys(keys, 1), schema)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_schema_without_members_allows_any(family: str) -> None:
    schema = {"type": "object", "additionalProperties": True}
    for arguments in ({}, {"a": 1}, {"a": "b", "c_d": [1, {"e": "f"}]}):
        assert admits(family, arguments, schema)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "string", "pattern": "a"}, "properties.a.pattern"),
        (
            {"type": "array", "items": {"type": "string", "minLength": 2}},
            "properties.a.items.minLength",
        ),
        (
            {"type": "object", "patternProperties": {"^b": {}}},
            "properties.a.patternProperties",
        ),
    ],
)
@pytest.mark.parametrize("family", sorted({"gemma4", "minimax_m3"} & {*FAMILIES}))
def test_what_a_notation_cannot_hold_to_is_refused_by_name(
    family: str, schema: dict[str, Any], path: str
) -> None:
    with pytest.raises(BadRequest, match=f"parameters.{path.replace('.', '[.]')}'"):
        admits(family, {"a": "b"}, {"type": "object", "properties": {"a": schema}})
