"""Arguments that are written one by one as text, converted to a JSON object.

Such formats write strings without quotes and other values as JSON (or as Python prints
them), so only the tool's schema distinguishes the string ``5`` from the number 5.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from inference.output_parsers import json_text
from inference.output_parsers.text_scanner import Parse, Sink

if TYPE_CHECKING:
    from inference.output_parsers.writer import DeltaWriter

#: Reads the text of a value into a sink; returns whether it is complete.
ReadValue = Callable[[Sink], Parse[bool]]

_STRING = frozenset({"string"})
_ANYTHING: frozenset[str] = frozenset()
_BRANCHES = ("anyOf", "oneOf", "allOf")
# Clients send the schemas, so references in a circle must end somewhere.
_MAX_SCHEMAS = 64


class ObjectWriter:
    """Writes the arguments of the latest call, member by member."""

    def __init__(self, writer: DeltaWriter, tool: str) -> None:
        self._sink = writer.arguments
        self._schema = writer.tools[tool]
        self._written: set[str] = set()

    def write(
        self, key: str, read_value: ReadValue, *, is_text: bool | None = None
    ) -> Parse[bool]:
        """Write a member; the value of a string is written while it arrives.

        ``is_text``: the model says that the value is text, or that it is JSON; the
        schema decides where they contradict each other. Returns whether the value is
        complete; if not, the text ended in it.
        """
        self._sink((", " if self._written else "{") + json.dumps(key) + ": ")
        self._written.add(key)
        types = types_of_member(self._schema, key)
        if is_text and (not types or "string" in types):
            types = _STRING
        if types == _STRING and is_text is not False:
            self._sink('"')
            is_complete = yield from read_value(
                lambda text: self._sink(json_text.escaped(text))
            )
            self._sink('"' if is_complete else "")
        else:
            parts: list[str] = []
            is_complete = yield from read_value(parts.append)
            text = "".join(parts)
            self._sink(as_json(text, types) if is_complete else text)
        return is_complete

    def close(self) -> None:
        """Write the end of the object."""
        self._sink("}" if self._written else "{}")

    def missing(self) -> list[str]:
        """Return the members of the schema that are not written yet."""
        return [key for key in members(self._schema) if key not in self._written]


def as_json(text: str, types: frozenset[str]) -> str:
    """Return JSON: the text if it is a value of these types, else a string of it.

    Without types, any JSON value is taken as it is.
    """
    value = json_text.whole_value(text)
    if value is not None:
        value = value.strip()
        if not types or types & _types_of_json(value):
            return value
    return json.dumps(text, ensure_ascii=False)


def members(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema's ``properties``."""
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def types_of_member(schema: Mapping[str, Any], key: str) -> frozenset[str]:
    """Return the JSON types that the schema allows for a member; empty allows all."""
    return types_of(members(schema).get(key), schema)


def types_of(schema: Any, root: Mapping[str, Any]) -> frozenset[str]:
    """Return the JSON types that a schema allows; empty allows all.

    ``root`` is the schema that its references refer to.
    """
    return _types(schema, root, iter(range(_MAX_SCHEMAS)))


def subschema(schema: Any, key: str | None, root: Mapping[str, Any]) -> Any:
    """Return the schema of a member, or that of items (None); {} if there is none.

    ``root`` is the schema that its references refer to.
    """
    pending = [schema]
    for _ in range(_MAX_SCHEMAS):
        if not pending:
            break
        part = pending.pop(0)
        if not isinstance(part, Mapping):
            continue
        found = part.get("items") if key is None else members(part).get(key)
        if isinstance(found, Mapping):
            return found
        if isinstance(reference := part.get("$ref"), str):
            pending.append(_resolve(reference, root))
        for word in _BRANCHES:
            if isinstance(branches := part.get(word), list):
                pending += branches
    return {}


def _types(schema: Any, root: Mapping[str, Any], left: Iterator[int]) -> frozenset[str]:
    if not isinstance(schema, Mapping) or next(left, None) is None:
        return _ANYTHING
    if isinstance(reference := schema.get("$ref"), str):
        return _types(_resolve(reference, root), root, left)
    stated = schema.get("type")
    if isinstance(stated, str):
        return frozenset({stated})
    if isinstance(stated, list):
        return frozenset(name for name in stated if isinstance(name, str))
    for word in _BRANCHES:
        if isinstance(branches := schema.get(word), list):
            found = [_types(branch, root, left) for branch in branches]
            return _ANYTHING.union(*found) if all(found) else _ANYTHING
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if not isinstance(values, list):
        return _ANYTHING
    return _ANYTHING.union(*(_types_of_json(json.dumps(value)) for value in values))


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """Return the target of a reference within the schema, or None."""
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _types_of_json(value: str) -> frozenset[str]:
    match value[0]:
        case "{":
            return frozenset({"object"})
        case "[":
            return frozenset({"array"})
        case '"':
            return _STRING
        case "t" | "f":
            return frozenset({"boolean"})
        case "n":
            return frozenset({"null"})
    is_whole = value.lstrip("-").isdigit()
    return frozenset({"number", "integer"} if is_whole else {"number"})
