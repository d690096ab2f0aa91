"""Values of a JSON schema, and what becomes of them when one place is changed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What is put in the place of every value, wherever it does not belong there.
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 1.5, -(10**60), "", "\x00", "\ud800"),
    *([], [[]], {}, {"\ud800": []}),
)


def samples(schema: dict[str, Any]) -> Iterator[Any]:
    """Yield values of a schema: one of each alternative, with all members."""
    valid = Draft202012Validator(schema).is_valid
    for sample in _guesses(schema):
        if sample is not None and valid(sample):
            yield sample


def _guesses(schema: dict[str, Any]) -> Iterator[Any]:
    for alternative in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from _guesses(alternative)
    if "const" in schema:
        yield schema["const"]
    yield from schema.get("enum", ())
    types = schema.get("type", ())
    for kind in [types] if isinstance(types, str) else types:
        yield from _guesses_of(kind, schema)


def _guesses_of(kind: str, schema: dict[str, Any]) -> Iterator[Any]:
    if kind == "boolean":
        yield from (True, False)
    elif kind in ("integer", "number"):
        lowest = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        yield from (1, lowest, schema.get("maximum", 0))
    elif kind == "string":
        yield "x" * max(schema.get("minLength", 1), 1)
    elif kind == "array":
        count = max(schema.get("minItems", 1), 1)
        for item in samples(schema.get("items", {"type": "string"})):
            yield [item] * count
    elif kind == "object":
        properties = schema.get("properties", {})
        firsts = {name: next(samples(each), None) for name, each in properties.items()}
        members = {name: each for name, each in firsts.items() if each is not None}
        yield members
        required = schema.get("required", ())
        yield {name: each for name, each in members.items() if name in required}


def changed(value: Any) -> Iterator[Any]:
    """Yield the value with one place replaced, one member taken out or one added."""
    yield from copy.deepcopy(_VALUES)
    if isinstance(value, list):
        for index, item in enumerate(value):
            for each in changed(item):
                yield [*value[:index], each, *value[index + 1 :]]
    if isinstance(value, dict):
        yield {**value, "colour": 1}
        for name, member in value.items():
            yield {key: value[key] for key in value if key != name}
            for each in changed(member):
                yield {**value, name: each}
