"""Schemas of tools that are not strict: what can be enforced is, the rest is named."""

from __future__ import annotations

from typing import Any

import pytest

from inference.engine.structured_output.loosening import loose_arguments
from inference.engine.structured_output.schema_faults import schema_grammar
from tests.inference.engine.structured_output.recogniser import allows


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


_A = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "left_out", "good", "bad"),
    [
        (an_object(a={"type": "integer"}), [], ['{"a": 1}'], ['{"a": ""}']),
        # Annotations of other dialects, and words that no grammar enforces
        (
            an_object(a={"type": "integer", "format": "int64"}),
            ["properties.a.format"],
            ['{"a": 1}', "{}"],
            ['{"a": ""}', '{"b": 1}'],
        ),
        (
            an_object(a={"type": "string", "nullable": True}, b={"not": {}}),
            ["properties.a.nullable", "properties.b.not"],
            ['{"a": "x", "b": 1}'],
            ['{"a": 1}'],
        ),
        (
            an_object(
                a={"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
                b={"type": "array", "contains": {"const": 1}, "minContains": 2},
            ),
            [
                "properties.a.uniqueItems",
                "properties.b.contains",
                "properties.b.minContains",
            ],
            ['{"a": [1, 1], "b": [2]}'],
            ['{"a": [""]}', '{"b": {}}'],
        ),
        (
            an_object(a={"type": "string", "markdownDescription": "x", "x-order": 1}),
            [],
            ['{"a": "x"}'],
            ['{"a": 1}'],
        ),
        (
            an_object(
                a={"type": "object", "propertyNames": {"type": "string"}},
                b={"type": "object", "propertyNames": {"pattern": "^x"}},
            ),
            ["properties.b.propertyNames"],
            ['{"a": {"k": 1}, "b": {"k": 1}}'],
            ['{"a": 1}'],
        ),
        (
            {
                **an_object(a={"type": "string"}, b={"type": "string"}),
                "if": {"properties": {"a": {"const": "x"}}},
                "then": {"required": ["b"]},
                "dependentRequired": {"a": ["b"]},
            },
            ["if", "then", "dependentRequired"],
            ['{"a": "x"}'],
            ['{"a": 1}'],
        ),
        # Patterns and numbers that the engine cannot hold to
        (
            an_object(
                a={"type": "string", "pattern": r"^(?=.*\d)\w+\b(?<!x)$"},
                b={"type": "string", "pattern": r"^(a)\1$"},
                c={"type": "string", "pattern": "["},
            ),
            [
                "properties.a.pattern",
                "properties.b.pattern",
                "properties.c.pattern",
            ],
            ['{"a": "x", "b": "ab", "c": "y"}'],
            ['{"a": 1}'],
        ),
        (
            an_object(
                a={"type": "number", "minimum": -1e20, "maximum": 1e300},
                b={"type": "integer", "maximum": 10**20},
                c={"type": "integer", "multipleOf": 1_000_003},
                d={"enum": [2**60]},
            ),
            [
                "properties.a.minimum",
                "properties.a.maximum",
                "properties.b.maximum",
                "properties.c.multipleOf",
                "properties.d.enum",
            ],
            ['{"a": 0.5, "b": 7, "c": 1}'],
            ['{"b": 0.5}'],
        ),
        (
            {
                **an_object(a={"type": "integer", "minimum": 5, "maximum": 4}),
                "required": ["a"],
            },
            ["properties.a.minimum"],
            ['{"a": 3}'],
            ['{"a": ""}', "{}"],
        ),
        # References
        (
            an_object(a={"$ref": "#/$defs/x"}, b={"$ref": "Pet"}, c={"$ref": "#x"}),
            ["properties.a.$ref", "properties.b.$ref", "properties.c.$ref"],
            ['{"a": 1, "b": [], "c": {}}'],
            ['{"d": 1}'],
        ),
        ({**_A, "$defs": {"A": _A}}, ["$defs.A"], ['{"a": {"b": 1}}'], ["{}"]),
        (
            {**an_object(a={"$ref": "#"}), "$id": "urn:x", "$schema": "urn:y"},
            ["$schema"],
            ['{"a": {"a": {}}}'],
            ['{"a": 1}'],
        ),
        # Options that overlap, or are not told apart
        (
            an_object(
                a={"oneOf": [{"type": "string"}, {"type": "string", "minLength": 2}]}
            ),
            ["properties.a.oneOf"],
            ['{"a": "x"}'],
            ['{"a": 1}'],
        ),
        (
            {
                **an_object(a={"type": "integer"}),
                "patternProperties": {"^a": {}, "b$": {}},
            },
            ["patternProperties"],
            ['{"a": 1, "ab": 1}'],
            ['{"a": ""}'],
        ),
        # What is no schema
        ({"type": "object", "properties": []}, ["properties"], ["{}"], ['{"a": 1}']),
        (
            {
                **an_object(
                    a={"type": "any"},
                    b={"type": "string", "required": True},
                    c="a text",
                    d={"type": "array", "items": "string"},
                ),
                "required": ["b", 1],
            },
            [
                "properties.a.type",
                "properties.b.required",
                "properties.c",
                "properties.d.items",
                "required",
            ],
            ['{"a": [], "b": "x", "c": 1, "d": [1]}'],
            ['{"b": 1}', '{"d": 1}'],
        ),
        # What is too large
        (
            {"type": "object", "properties": {f"p{n}": {} for n in range(500)}},
            ["properties"],
            ['{"p1": 1}', "{}"],
            ["[]"],
        ),
        (
            an_object(a={"enum": ["x" * 1000] * 200}),
            [""],
            ['{"b": 1}', "{}"],
            ["[]"],
        ),
    ],
)
def test_what_cannot_be_enforced_is_left_out_and_named(
    schema: dict[str, Any], left_out: list[str], good: list[str], bad: list[str]
) -> None:
    loose = loose_arguments(schema)
    grammar = schema_grammar(loose.prepared.document())

    assert sorted(loose.left_out) == sorted(left_out)
    assert [text for text in good if not allows(grammar, text)] == []
    assert [text for text in bad if allows(grammar, text)] == []


def test_every_overlapping_one_of_is_found_at_once() -> None:
    overlapping = {"oneOf": [{"type": "string"}, {"minLength": 1, "type": "string"}]}
    schema = an_object(**{f"p{n}": overlapping for n in range(40)})

    left_out = loose_arguments(schema).left_out

    assert {*left_out} == {f"properties.p{n}.oneOf" for n in range(40)}


def test_a_schema_that_would_grow_without_end_is_left_out_as_a_whole() -> None:
    definitions: dict[str, Any] = {
        str(n): {"oneOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(30)
    }
    definitions["30"] = {"format": "x"}

    loose = loose_arguments({"$ref": "#/$defs/0", "$defs": definitions})

    assert loose.left_out == ("",)
