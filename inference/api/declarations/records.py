"""Objects in a request: their members, and OpenAI's members that are not served."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.api.declarations.fields import Field, Text, wrong_type
from inference.api.errors import InvalidRequest, quote

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Inert:
    """A member of OpenAI's API that is not served, but may say what is so anyway.

    ``values`` are what it may be: values that ask for nothing. ``any_text``
    lets in every string: a label that has no effect on the answer.
    """

    values: tuple[Any, ...] = ()
    any_text: bool = False
    hint: str = ""

    def check(self, value: Any, path: str) -> None:
        """Raise InvalidRequest unless the value asks for nothing."""
        if self.any_text and isinstance(value, str):
            return
        if any(type(value) is type(inert) and value == inert for inert in self.values):
            return
        raise _unsupported(path, self)

    def accepted(self) -> str:
        """Return in words what it may be; "" is nothing but null."""
        if self.any_text:
            return "any string"
        return " or ".join(json.dumps(value) for value in self.values)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        if self.any_text:
            return {"type": ["string", "null"]}
        return {"enum": [*self.values, None]}


@dataclass(frozen=True, slots=True)
class Record:
    """An object with these members and no others.

    A null counts as not given: OpenAI's clients send one for what their caller
    left out.
    """

    members: Mapping[str, Field]
    required: tuple[str, ...] = ()
    inert: Mapping[str, Inert] = field(default_factory=dict)
    help: Mapping[str, str] = field(default_factory=dict)

    def parse(self, value: Any, path: str = "") -> dict[str, Any]:
        """Return the members that are given. Raises InvalidRequest."""
        if not isinstance(value, dict):
            raise wrong_type(path or "body", "an object", value)
        prefix = f"{path}." if path else ""
        parsed = {}
        for name, member in value.items():
            where = prefix + name
            if name in self.members:
                if member is not None:
                    parsed[name] = self.members[name].parse(member, where)
            elif name not in self.inert:
                raise _unknown(where)
            elif member is not None:
                self.inert[name].check(member, where)
        for name in self.required:
            if name not in parsed:
                raise missing(prefix + name)
        return parsed

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        properties = {}
        for name, member in self.members.items():
            schema = member.schema()
            if name not in self.required:
                schema = _nullable(schema)
            if name in self.help:
                schema["description"] = self.help[name]
            properties[name] = schema
        for name, inert in self.inert.items():
            properties[name] = {
                **inert.schema(),
                "description": "Not supported; accepted where it asks for nothing.",
            }
        schema = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        return {**schema, "required": list(self.required)} if self.required else schema


@dataclass(frozen=True, slots=True)
class Either:
    """One string, or an array of up to some."""

    item: Text
    max_items: int

    def parse(self, value: Any, path: str) -> tuple[str, ...]:
        """Return the strings. Raises InvalidRequest."""
        if isinstance(value, str):
            return (self.item.parse(value, path),)
        if not isinstance(value, list):
            raise wrong_type(path, "a string or an array of strings", value)
        if len(value) > self.max_items:
            raise InvalidRequest(
                f"Invalid value for '{path}': at most {self.max_items} strings, "
                f"got {len(value)}.",
                param=path,
            )
        return tuple(
            self.item.parse(item, f"{path}[{index}]")
            for index, item in enumerate(value)
        )

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        item = self.item.schema()
        several = {"type": "array", "items": item, "maxItems": self.max_items}
        return {"oneOf": [item, several]}


def missing(path: str) -> InvalidRequest:
    """Return the refusal of a request that lacks a member."""
    return InvalidRequest(
        f"Missing required parameter: '{path}'.",
        param=path,
        code="missing_required_parameter",
    )


def _unknown(path: str) -> InvalidRequest:
    path = quote(path)
    return InvalidRequest(
        f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter"
    )


def _unsupported(path: str, inert: Inert) -> InvalidRequest:
    accepted = inert.accepted()
    rule = f"only {accepted} is accepted" if accepted else "leave it out"
    return InvalidRequest(
        f"Unsupported parameter: '{path}' is not served here; {rule}.{inert.hint}",
        param=path,
        code="unsupported_parameter",
    )


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with null let in."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"oneOf": [schema, {"type": "null"}]}
