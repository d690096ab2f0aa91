"""Arguments that come as text get the types that the tool's schema says."""

from __future__ import annotations

from typing import Any

import pytest

from inference.output_parsers.parameters import as_json, types_of_member
from tests.inference.output_parsers.answers import parse


@pytest.mark.parametrize(
    ("schema", "text", "json_text"),
    [
        ({"type": "string"}, "5", '"5"'),
        ({"type": "string"}, "null", '"null"'),
        ({"type": "string"}, ' "quoted"\n', '" \\"quoted\\"\\n"'),
        ({"type": "integer"}, "5", "5"),
        ({"type": "integer"}, " -5\n", "-5"),
        ({"type": "integer"}, "many", '"many"'),
        ({"type": "number"}, "5", "5"),
        ({"type": "number"}, "1e400", "1e400"),
        ({"type": "number"}, "NaN", '"NaN"'),
        ({"type": "boolean"}, "True", "true"),
        ({"type": "boolean"}, "yes", '"yes"'),
        ({"type": "object"}, '{"a": [1, None]}', '{"a": [1, null]}'),
        ({"type": "object"}, "{'a': 1}", "\"{'a': 1}\""),
        ({"type": "array"}, "[1, 2] and more", '"[1, 2] and more"'),
        ({"type": ["string", "null"]}, "None", "null"),
        ({"type": ["string", "null"]}, "nobody", '"nobody"'),
        ({"type": ["string", "integer"]}, "5", "5"),
        ({"anyOf": [{"type": "string"}, {"type": "number"}]}, "5.5", "5.5"),
        ({"anyOf": [{"type": "string"}, {}]}, "[]", "[]"),
        ({"enum": ["1", "2"]}, "1", '"1"'),
        ({"enum": [1, 2]}, "1", "1"),
        ({"const": "x"}, "x", '"x"'),
        ({"$ref": "#/$defs/word"}, "5", '"5"'),
        ({"$ref": "#/$defs/circle"}, "5", "5"),
        ({"$ref": "#/nowhere"}, "5", "5"),
        ({"type": 7, "enum": 7}, "x", '"x"'),
        ({}, "5", "5"),
        ({}, "five", '"five"'),
        (None, "5", "5"),
        ("nonsense", "{}", "{}"),
    ],
)
def test_types(schema: Any, text: str, json_text: str) -> None:
    tool: dict[str, Any] = {
        "properties": {"x": schema},
        "$defs": {
            "word": {"allOf": [{"type": "string"}]},
            "circle": {"$ref": "#/$defs/circle"},
        },
    }
    call = f"<tool_call>f<arg_key>x</arg_key><arg_value>{text}</arg_value></tool_call>"
    answer = parse("glm45", call, tools={"f": tool})
    assert answer.calls == [("f", f'{{"x": {json_text}}}')]


def test_a_member_that_the_schema_does_not_name_may_be_anything() -> None:
    assert types_of_member({}, "x") == frozenset()
    assert types_of_member({"properties": []}, "x") == frozenset()
    assert as_json('{"deep": ' + "[" * 100_000, frozenset()).startswith('"{')
