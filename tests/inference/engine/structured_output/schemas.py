"""JSON schemas of growing difficulty, each named after what makes it hard."""

from __future__ import annotations

from typing import Any

_CLOSED = {"additionalProperties": False}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    """Return a closed object; without names, all of its properties are required."""
    names = list(required or properties)
    return {"type": "object", "properties": properties, "required": names, **_CLOSED}


_STRING = {"type": "string", "maxLength": 12}
_INTEGER = {"type": "integer"}
_ADDRESS = _object(
    street=_STRING, number={"type": "integer", "minimum": 1, "maximum": 999}
)
_PETS = {
    "Cat": _object("kind", kind={"const": "cat", "type": "string"}, lives=_INTEGER),
    "Dog": _object(kind={"const": "dog", "type": "string"}, name=_STRING),
}
_TREE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer", "minimum": 0, "maximum": 9},
        "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
        "right": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
    },
    "required": ["value", "left", "right"],
    **_CLOSED,
}

SCHEMAS: dict[str, dict[str, Any]] = {
    # Scalars
    "anything": {},
    "null": {"type": "null"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "string": {"type": "string"},
    "several types": {"type": ["integer", "null", "boolean"]},
    "short string": {"type": "string", "minLength": 2, "maxLength": 5},
    "string of one length": {"type": "string", "minLength": 7, "maxLength": 7},
    "constant": {"const": "only this"},
    "constant number": {"const": -0.25},
    "constant object": {"const": {"a": [1, None, "x"], "b": {}}},
    "enum": {"enum": ["red", "green", "blue"]},
    "mixed enum": {"enum": ["red", 1, 2.5, None, True, [], {"a": 1}]},
    "typed enum": {"type": "string", "enum": ["red", 1]},
    # Numbers
    "range of integers": {"type": "integer", "minimum": -17, "maximum": 42},
    "open range of integers": {
        "type": "integer",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 3,
    },
    "range of numbers": {"type": "number", "minimum": -1.5, "maximum": 2.25},
    "open range of numbers": {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
    },
    "minimum alone": {"type": "integer", "minimum": 1000},
    "draft 4's open range": {
        "type": "integer",
        "minimum": 1,
        "exclusiveMinimum": True,
        "maximum": 3,
    },
    "multiples": {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 1000},
    "decimal multiples": {"type": "number", "multipleOf": 0.01, "maximum": 100},
    # Strings
    "pattern": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
    "pattern inside": {"type": "string", "pattern": "ab+c", "maxLength": 12},
    "pattern of alternatives": {"type": "string", "pattern": "^(?:yes|no|may ?be)$"},
    "pattern of Unicode": {"type": "string", "pattern": "^[À-ÖØ-Þ][à-öø-ÿ世]{1,6}$"},
    "pattern of punctuation": {"type": "string", "pattern": "^[&~/.-]{1,5}\\[\\w\\]$"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "date and time": {"type": "string", "format": "date-time"},
    "date of a year": {"type": "string", "format": "date", "pattern": "^2024-02"},
    "UUID": {"type": "string", "format": "uuid"},
    "IPv4": {"type": "string", "format": "ipv4"},
    "IPv6": {"type": "string", "format": "ipv6"},
    "e-mail": {"type": "string", "format": "email", "maxLength": 40},
    # Arrays
    "array": {"type": "array", "items": _INTEGER},
    "array of some": {
        "type": "array",
        "items": {"enum": ["a", "b"]},
        "minItems": 2,
        "maxItems": 4,
    },
    "tuple": {
        "type": "array",
        "prefixItems": [_INTEGER, _STRING, {"type": "boolean"}],
        "items": False,
        "minItems": 2,
    },
    "tuple of older drafts": {
        "type": "array",
        "items": [_INTEGER, _STRING],
        "additionalItems": {"type": "null"},
        "maxItems": 4,
    },
    "array of arrays": {
        "type": "array",
        "items": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
        "minItems": 1,
        "maxItems": 3,
    },
    # Objects
    "object": _object(name=_STRING, age={"type": "integer", "minimum": 0}),
    "optional properties": _object("b", a=_INTEGER, b=_STRING, c={"type": "null"}),
    "no property required": {
        "type": "object",
        "properties": {"a": _INTEGER, "b": _INTEGER},
        **_CLOSED,
    },
    "additional properties": {
        "type": "object",
        "properties": {"a": _INTEGER},
        "required": ["a"],
        "additionalProperties": {"type": "boolean"},
        "maxProperties": 3,
    },
    "map": {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "minProperties": 1,
        "maxProperties": 2,
    },
    "pattern of names": {
        "type": "object",
        "patternProperties": {"^x_[a-z]{1,5}$": _INTEGER, "^y_[0-9]$": _STRING},
        "maxProperties": 3,
        **_CLOSED,
    },
    "a name that is only required": {
        "type": "object",
        "required": ["z"],
        "maxProperties": 1,
    },
    "exactly one of the properties": {
        "type": "object",
        "properties": {"a": _INTEGER, "b": _STRING},
        "minProperties": 1,
        "maxProperties": 1,
        **_CLOSED,
    },
    "object in object": _object(
        person=_object(name=_STRING, address=_ADDRESS), active={"type": "boolean"}
    ),
    "names in Unicode": _object(ключ={"const": "значение"}, 世界={"enum": ["é", "😀"]}),
    "names that need escapes": {
        "type": "object",
        "properties": {'a"b': _INTEGER, "c\\d": _INTEGER, "e\nf": _INTEGER},
        "required": ['a"b', "c\\d", "e\nf"],
        **_CLOSED,
    },
    "annotations everywhere": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/x.json",
        "title": "X",
        "description": "An X.",
        "examples": [{"a": 1}],
        "type": "object",
        "properties": {"a": {"type": "integer", "default": 1, "x-order": 1}},
        "required": ["a"],
        **_CLOSED,
    },
    # Combinations
    "anyOf": {"anyOf": [{"type": "integer"}, {"enum": ["a"]}, _ADDRESS]},
    "anyOf beside properties": {
        "type": "object",
        "properties": {"a": _INTEGER, "b": _INTEGER},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        **_CLOSED,
    },
    "allOf": {
        "allOf": [
            {"type": "object", "properties": {"a": _INTEGER}, "required": ["a"]},
            {"properties": {"b": _STRING}, "required": ["b"]},
            {"maxProperties": 2},
        ]
    },
    "oneOf of types": {"oneOf": [_INTEGER, _STRING, {"type": "null"}]},
    "oneOf of objects": {"oneOf": list(_PETS.values())},
    "oneOf of references": {
        "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
        "discriminator": {"propertyName": "kind"},
        "$defs": _PETS,
    },
    "optional by null": _object(a={"anyOf": [_STRING, {"type": "null"}]}),
    # References
    "reference": {
        **_object(home={"$ref": "#/$defs/address"}, work={"$ref": "#/$defs/address"}),
        "$defs": {"address": _ADDRESS},
    },
    "reference to a reference": {
        "$ref": "#/definitions/a",
        "definitions": {"a": {"$ref": "#/definitions/b"}, "b": _ADDRESS},
    },
    "reference with escapes": {
        "$ref": "#/$defs/a~1b%25c",
        "$defs": {"a/b%c": {"type": "boolean"}},
    },
    "reference beside keywords": {
        "$ref": "#/$defs/text",
        "minLength": 3,
        "$defs": {"text": {"type": "string", "maxLength": 6}},
    },
    "linked list": {
        "type": "object",
        "properties": {
            "value": {"type": "integer", "minimum": 0, "maximum": 9},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        },
        "required": ["value", "next"],
        **_CLOSED,
    },
    "tree": {"$ref": "#/$defs/tree", "$defs": {"tree": _TREE}},
    "mutual recursion": {
        "$ref": "#/$defs/even",
        "$defs": {
            "even": {"type": "array", "items": {"$ref": "#/$defs/odd"}, "maxItems": 1},
            "odd": {"type": "array", "items": {"$ref": "#/$defs/even"}, "maxItems": 1},
        },
    },
    "arithmetic": {
        "$ref": "#/$defs/term",
        "$defs": {
            "term": {
                "anyOf": [
                    {"type": "integer", "minimum": 0, "maximum": 99},
                    _object(
                        op={"enum": ["+", "-"]},
                        left={"$ref": "#/$defs/term"},
                        right={"$ref": "#/$defs/term"},
                    ),
                ]
            }
        },
    },
    # What people send
    "steps": _object(
        steps={
            "type": "array",
            "items": _object(explanation=_STRING, output=_STRING),
            "maxItems": 3,
        },
        final_answer=_STRING,
    ),
    "invoice": _object(
        id={"type": "string", "pattern": "^INV-\\d{6}$"},
        issued={"type": "string", "format": "date"},
        currency={"enum": ["EUR", "USD", "JPY"]},
        lines={
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": _object(
                "text",
                "price",
                text={"type": "string", "minLength": 1, "maxLength": 20},
                price={"type": "number", "minimum": 0, "multipleOf": 0.01},
                quantity={"type": "integer", "minimum": 1, "maximum": 100},
            ),
        },
        paid={"type": ["boolean", "null"]},
    ),
}
