from __future__ import annotations

import math
from typing import Any

import pytest

from inference.engine.structured_output import grammars
from inference.engine.structured_output.compiling import InvalidGrammar
from inference.engine.structured_output.json_schema import (
    preparation,
    prepared,
    values,
)
from inference.engine.structured_output.json_schema.formats import FORMATS
from inference.engine.structured_output.json_schema.preparation import prepare_schema
from inference.engine.structured_output.json_schema.style import JsonStyle
from inference.engine.structured_output.json_schema.values import SchemaError
from tests.checkout import ROOT
from tests.inference.engine.structured_output.recogniser import allows

_CLOSED = {"type": "object", "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        # Free keys are not those of 'properties', not even in disguise.
        (
            {
                "type": "object",
                "properties": {"a": {"type": "integer"}},
                "additionalProperties": {"type": "string"},
            },
            ['{"a": 1}', '{"a": 1, "b": ""}'],
            ['{"a": "x"}', r'{"\u0061": "x"}', '{"a": 1, "a": "x"}', '{"b": 1}'],
        ),
        # White space is no choice of the model's.
        (
            {"type": "array", "items": {"type": "null"}},
            ["[]", "[null]", "[null, null]"],
            ["[ ]", "[null,null]", "[null,  null]", "[\n  null\n]", " []", "[] "],
        ),
        (
            {"type": "object"},
            ["{}", '{"a": {}, "b": [1, {"c": 2}]}'],
            ["{ }", '{"a":{}}', '{"a" : {}}', '{"a": {}} '],
        ),
        (
            {"const": 'a\n\t\b\f\r"\\/é'},
            [r'"a\n\t\b\f\r\"\\/é"'],
            [r'"a\u000a\t\b\f\r\"\\/é"'],
        ),
        ({"const": 1.0}, ["1"], ["2"]),
        # Digits come to an end.
        (
            {"type": "integer"},
            ["0", "-7", "1200345678901234567", "9" * 18],
            ["1" * 20, "1.0", "1e3"],
        ),
        ({"type": "integer", "minimum": 5}, ["5", "9" * 18], ["4", "9" * 20]),
        ({"const": 1e21}, ["1000000000000000000000"], ["1"]),
        (
            {"type": "string", "format": "date"},
            ['"2024-02-29"', '"2000-02-29"', '"0004-02-29"', '"1999-12-31"'],
            ['"2023-02-29"', '"1900-02-29"', '"0000-01-01"', '"2023-04-31"'],
        ),
        (
            {"type": "string", "format": "date-time"},
            ['"2024-02-29T23:59:59Z"', '"2024-01-01T00:00:00.5+01:00"'],
            ['"2024-01-01T24:00:00Z"', '"2024-01-01T00:00:00"', '"2024-01-01"'],
        ),
        (
            {"type": ["string", "null"], "format": "time", "pattern": "^1"},
            ["null", '"12:00:00Z"'],
            ['"02:00:00Z"', '"1"'],
        ),
        ({"type": "string", "pattern": "^a|b$"}, ['"ac"', '"cb"'], ['"cac"']),
        (
            {"type": "string", "pattern": "^[a&&b[c]+$"},
            ['"a"', '"b&["'],
            ['"d"', '""'],
        ),
        (
            {**_CLOSED, "patternProperties": {"^[[~]$": {"type": "null"}}},
            ['{"[": null}', '{"~": null}'],
            ['{"a": null}'],
        ),
        (
            {"$ref": "#/definitions/a~1b%25", "definitions": {"a/b%": {"const": 1}}},
            ["1"],
            ["2"],
        ),
        (
            {
                "anyOf": [
                    {"$ref": "#/anyOf/1/items"},
                    {"type": "array", "items": {"const": 1}},
                ]
            },
            ["1", "[1]"],
            ["2", "[2]"],
        ),
        (True, ["1", "{}"], [""]),
    ],
)
def test_what_is_allowed_are_the_values_of_the_schema(
    schema: Any, good: list[str], bad: list[str]
) -> None:
    grammar = grammars.json_schema(schema)

    assert [text for text in good if not allows(grammar, text)] == []
    assert [text for text in bad if allows(grammar, text)] == []


def test_in_the_flexible_style_white_space_is_for_indenting_and_not_without_end() -> (
    None
):
    schema = {"type": "array", "items": {"type": "object"}}
    grammar = grammars.json_schema(schema, style=JsonStyle.FLEXIBLE)
    good = ["[{},{}]", '[{"a":1, "b": 2}]', "[\n  {},\n\n  {}\n]"]
    bad = ["[ \n {}]", "[\n\n\n{}]", "[  {}]", f"[\n{' ' * 41}{{}}]", " []"]

    assert [text for text in good if not allows(grammar, text)] == []
    assert [text for text in bad if allows(grammar, text)] == []


_NOT_OBJECT = "must be an object"
_KEYWORD = "this keyword cannot be enforced"


@pytest.mark.parametrize(
    ("schema", "path", "reason"),
    [
        # Keywords
        ({"type": "array", "uniqueItems": True}, "uniqueItems", _KEYWORD),
        ({"not": {}}, "not", _KEYWORD),
        ({"if": {}}, "if", _KEYWORD),
        ({"type": "string", "minLenght": 1}, "minLenght", _KEYWORD),
        ({"x-guidance": {"lenient": True}}, "x-guidance", _KEYWORD),
        (
            {"properties": {"a": {"items": {"nullable": True}}}},
            "properties.a.items.nullable",
            _KEYWORD,
        ),
        ({"anyOf": [{}, {"contains": {}}]}, "anyOf[1].contains", _KEYWORD),
        (
            {"$ref": "#/$defs/x", "$defs": {"x": {"not": {}}}},
            "$defs.x.not",
            _KEYWORD,
        ),
        ({"properties": {"a": {"$id": "x"}}}, "properties.a.$id", _KEYWORD),
        ({"$schema": "http://example.com/"}, "$schema", "none of the known dialects"),
        # Values of keywords
        (5, "", "must be an object or a boolean"),
        ({"items": "x"}, "items", "must be an object or a boolean"),
        ({"type": "text"}, "type", "must be one or some of array"),
        ({"type": []}, "type", "must be one or some of array"),
        ({"enum": []}, "enum", "not empty"),
        ({"required": "a"}, "required", "array of strings"),
        ({"required": [1]}, "required", "array of strings"),
        ({"properties": []}, "properties", _NOT_OBJECT),
        ({"$defs": []}, "$defs", _NOT_OBJECT),
        ({"pattern": 1}, "pattern", "must be a string"),
        ({"minLength": -1}, "minLength", "whole number up to"),
        ({"minLength": 1.5}, "minLength", "whole number up to"),
        ({"maxLength": 10**12}, "maxLength", "whole number up to"),
        ({"minimum": "1"}, "minimum", "must be a number"),
        ({"minimum": True}, "minimum", "must be a number"),
        ({"minimum": math.inf}, "minimum", "finite"),
        ({"const": 2**53 + 1}, "const", "not exact"),
        ({"enum": [1, [{"a": -(2**60)}]]}, "enum[1]", "not exact"),
        ({"const": "\x01"}, "const", "control characters"),
        ({"format": "int32"}, "format", "must be one of date, date-time"),
        ({"items": [{}], "prefixItems": [{}]}, "", "cannot be a list beside"),
        # Numbers that cost too much
        ({"multipleOf": 0}, "multipleOf", "above 0"),
        ({"multipleOf": 1000003}, "multipleOf", "may add up to 10000"),
        ({"multipleOf": 1e-12}, "multipleOf", "may add up to 10000"),
        (
            {"allOf": [{"multipleOf": 997}, {"multipleOf": 1009}]},
            "allOf[1].multipleOf",
            "least common multiple",
        ),
        # Free keys may come twice, and count once.
        (
            {"type": "object", "required": ["a"], "minProperties": 3},
            "minProperties",
            "one more",
        ),
        # References
        ({"$ref": "http://example.com/x"}, "$ref", "only references like"),
        ({"$ref": "other.json"}, "$ref", "only references like"),
        ({"$ref": "#anchor"}, "$ref", "only references like"),
        ({"$ref": "#/$defs/x"}, "$ref", "nothing where it points to"),
        ({"$ref": 1}, "$ref", "must be a string"),
        # What never ends
        ({"$ref": "#"}, "", "no value that ends"),
        ({"items": {"$ref": "#"}, "type": "array", "minItems": 1}, "", "that ends"),
        (
            {
                "anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}],
                "$defs": {
                    "a": {
                        "type": "object",
                        "properties": {"a": {"$ref": "#/$defs/a"}},
                        "required": ["a"],
                    }
                },
            },
            "$defs.a",
            "no value that ends",
        ),
        (False, "", "no value can match"),
    ],
)
def test_what_cannot_be_enforced_is_refused_with_its_place(
    schema: Any, path: str, reason: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        prepare_schema(schema)

    assert caught.value.path == path
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("schema", "path", "reason"),
    [
        (
            {"properties": {"a": {"type": "string", "pattern": "^b(?=a)"}}},
            "properties.a.pattern",
            "look-around",
        ),
        (
            {"$ref": "#/$defs/x", "$defs": {"x": {"pattern": "^(a)\\1$"}}},
            "$defs.x.pattern",
            "backreferences",
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"anyOf": [{"type": "integer", "minimum": 5}]}},
                "allOf": [{"properties": {"a": {"maximum": 4}}}],
                "required": ["a"],
            },
            "required",
            "'a' is unsatisfiable",
        ),
        (
            {
                "type": "array",
                "items": {"type": "integer", "minimum": 5, "maximum": 4},
                "minItems": 1,
            },
            "items.minimum",
            "minimum (5) is greater than maximum (4)",
        ),
        (
            {**_CLOSED, "properties": {"a": {}}, "required": ["b"]},
            "required",
            "'b' is unsatisfiable",
        ),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "allOf", "incompatible"),
        (
            {"items": {"oneOf": [{"type": "string"}, {"type": "string"}]}},
            "items.oneOf",
            "no value may match two of the options",
        ),
        (
            {"patternProperties": {"^a": {}, "b$": {}}},
            "patternProperties",
            "are not disjoint",
        ),
        (
            {
                "properties": {"a": {}, "b": {}},
                "additionalProperties": True,
                "maxProperties": 1,
            },
            "properties",
            "only supported when all keys",
        ),
    ],
)
def test_what_llguidance_refuses_is_reported_with_its_place(
    schema: Any, path: str, reason: str
) -> None:
    with pytest.raises(InvalidGrammar) as caught:
        grammars.json_schema(schema)

    assert reason in caught.value.message
    assert caught.value.path == path


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (nested(41), "nested deeper than 40"),
        ({"const": nested(50)}, "nested deeper than 40"),
        ({"anyOf": [{}] * 2_001}, "more than 2000 schemas"),
        ({"enum": ["x" * 1000] * 140}, "larger than 131072 bytes"),
        (
            {"properties": {f"p{n}": {} for n in range(401)}},
            "401 properties are optional, and at most 400 may be",
        ),
        # Inlined for oneOf, each would have twice what the next has.
        (
            {
                "$ref": "#/$defs/0",
                "$defs": {
                    str(n): {"oneOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2}
                    for n in range(30)
                }
                | {"30": {}},
            },
            "more than 2000 schemas",
        ),
    ],
)
def test_a_schema_has_bounds(schema: Any, reason: str) -> None:
    with pytest.raises(SchemaError) as caught:
        prepare_schema(schema)

    assert reason in caught.value.message


@pytest.mark.parametrize(
    "schema",
    [
        nested(40),
        {"type": "array", "minItems": 10**9, "maxItems": 10**9},
        {"type": "string", "maxLength": 10**9},
        {"properties": {f"p{n}": {"type": "string"} for n in range(400)}},
        {"type": "integer", "multipleOf": 9_973},
        {"enum": [f"number {n}" for n in range(5_000)]},
        # Compiled by recursion: it would overflow an ordinary stack.
        {
            "$ref": "#/$defs/0",
            "$defs": {
                str(n): {"type": "array", "items": {"$ref": f"#/$defs/{n + 1}"}}
                for n in range(900)
            }
            | {"900": {}},
        },
    ],
    ids=lambda schema: str(schema)[:30],
)
def test_a_schema_at_its_bounds_is_compiled(schema: Any) -> None:
    grammars.json_schema(schema)


def test_the_page_in_the_docs_names_every_keyword() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    keywords = {
        *preparation._ANNOTATIONS,
        *prepared.SUBSCHEMA,
        *prepared.SUBSCHEMA_LISTS,
        *prepared.SUBSCHEMA_MAPS,
        *values.BOUNDS,
        *values.COUNTS,
        *FORMATS,
    }

    assert [name for name in keywords if f"`{name}`" not in page] == []


_BASE = {"type": "object", "properties": {"x": {}}}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        # Named properties, and nothing said of others: closed, nested ones too.
        (
            {"properties": {"a": {"properties": {"b": {}}}}},
            ['{"a": {"b": 1}}', "{}"],
            ['{"c": 1}', '{"a": {"c": 1}}'],
        ),
        (
            {"properties": {"a": {}}, "required": ["a", "b"]},
            ['{"a": 1, "b": 2}'],
            ['{"a": 1}', '{"a": 1, "b": 2, "c": 3}'],
        ),
        (
            {"type": "object", "properties": {"a": {}}, "minProperties": 1},
            ['{"a": 1}'],
            ["{}", '{"b": 1}'],
        ),
        # Others are asked for.
        (
            {"properties": {"a": {}}, "additionalProperties": True},
            ['{"a": 1, "c": 1}', '{"c": 1}'],
            [],
        ),
        (
            {
                "type": "object",
                "properties": {"a": {}},
                "patternProperties": {"^x": {"type": "null"}},
            },
            ['{"a": 1, "xy": null}'],
            ['{"a": 1, "y": null}', '{"xy": 1}'],
        ),
        # Nothing is named.
        ({"type": "object"}, ['{"a": 1}', "{}"], []),
        ({"properties": {"a": {"type": "object"}}}, ['{"a": {"b": 1}}'], ['{"b": 1}']),
        # Put together of several schemas
        (
            {
                "properties": {"a": {}, "b": {}},
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
                "type": "object",
            },
            ['{"a": 1}', '{"b": 1}'],
            ["{}", '{"a": 1, "c": 1}'],
        ),
        (
            {
                "allOf": [{"$ref": "#/$defs/base"}, {"properties": {"y": {}}}],
                "required": ["x", "y"],
                "$defs": {"base": _BASE},
            },
            ['{"x": 1, "y": 1}', '{"x": 1, "y": 1, "z": 1}'],
            ['{"x": 1}'],
        ),
        (
            {"allOf": [{"$ref": "#/$defs/base"}], "$defs": {"base": _BASE}},
            ['{"x": 1}'],
            ['{"y": 1}'],
        ),
        (
            {
                "type": "array",
                "items": {"$ref": "#/$defs/base"},
                "$defs": {"base": _BASE, "more": {"allOf": [{}, {"$ref": "#"}]}},
            },
            ['[{"x": 1}]'],
            ['[{"y": 1}]'],
        ),
        (
            {"anyOf": [_BASE, {"type": "null"}]},
            ['{"x": 1}', "null"],
            ['{"y": 1}'],
        ),
    ],
)
def test_an_object_that_names_properties_is_closed_unless_it_asks_for_others(
    schema: Any, good: list[str], bad: list[str]
) -> None:
    grammar = grammars.json_schema(schema)

    assert [text for text in good if not allows(grammar, text)] == []
    assert [text for text in bad if allows(grammar, text)] == []


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "object"}, ["{}"], ['{"a": 1}']),
        ({"type": "object", "properties": {}}, ["{}"], ['{"a": 1}']),
        ({"additionalProperties": True}, ["{}", '{"a": 1}'], []),
        ({"type": "object", "required": ["a"]}, ['{"a": 1}'], ["{}"]),
        ({"patternProperties": {"^a": {}}}, ['{"ab": 1}'], []),
    ],
)
def test_a_function_that_names_no_arguments_has_none(
    schema: Any, good: list[str], bad: list[str]
) -> None:
    grammar = grammars.arguments(schema)

    assert [text for text in good if not allows(grammar, text)] == []
    assert [text for text in bad if allows(grammar, text)] == []
