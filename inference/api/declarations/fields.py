"""Kinds of values in a request: each checks one and describes itself.

``parse`` refuses what does not fit, naming the place by its path
(``messages[2].content``), and ``schema`` is the same rule as OpenAPI tells it.
One declaration serves both, so the documentation cannot differ from the check.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from inference.api.errors import InvalidRequest

_TYPE_NAMES: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


class Field(Protocol):
    """A kind of value."""

    def parse(self, value: Any, path: str) -> Any:
        """Return the value as the application takes it. Raises InvalidRequest."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""


def wrong_type(path: str, expected: str, value: Any) -> InvalidRequest:
    """Return the refusal of a value of another type."""
    got = _TYPE_NAMES.get(type(value), "something else")
    return InvalidRequest(
        f"Invalid type for '{path}': expected {expected}, got {got}.",
        param=path,
        code="invalid_type",
    )


def _invalid(path: str, rule: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid value for '{path}': {rule}.", param=path)


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false."""

    def parse(self, value: Any, path: str) -> bool:
        if not isinstance(value, bool):
            raise wrong_type(path, "a boolean", value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number in bounds, both included."""

    minimum: int
    maximum: int

    def parse(self, value: Any, path: str) -> int:
        if type(value) is not int:
            raise wrong_type(path, "an integer", value)
        if not self.minimum <= value <= self.maximum:
            raise _invalid(path, f"it must be from {self.minimum} to {self.maximum}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number in bounds; ``above_minimum`` leaves the lower one out."""

    minimum: float
    maximum: float
    above_minimum: bool = False

    def parse(self, value: Any, path: str) -> float:
        if type(value) not in (int, float):
            raise wrong_type(path, "a number", value)
        fits = self.minimum <= value <= self.maximum and math.isfinite(value)
        if not fits or (self.above_minimum and value == self.minimum):
            lower = "above" if self.above_minimum else "from"
            rule = f"it must be {lower} {self.minimum:g} to {self.maximum:g}"
            raise _invalid(path, rule)
        return float(value)

    def schema(self) -> dict[str, Any]:
        lower = "exclusiveMinimum" if self.above_minimum else "minimum"
        return {"type": "number", lower: self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Text:
    """A string of Unicode characters; ``max_length`` None leaves it unbounded."""

    min_length: int = 0
    max_length: int | None = None

    def parse(self, value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise wrong_type(path, "a string", value)
        if len(value) < self.min_length:
            raise _invalid(path, "it must not be empty")
        if self.max_length is not None and len(value) > self.max_length:
            raise _invalid(path, f"it must have at most {self.max_length} characters")
        # JSON can spell half a surrogate pair, which no tokenizer can take.
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise _invalid(path, "it is no valid Unicode text")
        return value

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string"}
        if self.min_length:
            schema["minLength"] = self.min_length
        if self.max_length is not None:
            schema["maxLength"] = self.max_length
        return schema


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some strings."""

    values: tuple[str, ...]

    def parse(self, value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise wrong_type(path, "a string", value)
        if value not in self.values:
            raise _invalid(path, f"it must be one of {', '.join(self.values)}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array of one kind."""

    item: Field
    min_items: int = 0
    max_items: int | None = None

    def parse(self, value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise wrong_type(path, "an array", value)
        if len(value) < self.min_items:
            raise _invalid(path, f"it must have at least {self.min_items} element")
        if self.max_items is not None and len(value) > self.max_items:
            raise _invalid(path, f"it must have at most {self.max_items} elements")
        return [
            self.item.parse(item, f"{path}[{index}]")
            for index, item in enumerate(value)
        ]

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "array", "items": self.item.schema()}
        if self.min_items:
            schema["minItems"] = self.min_items
        if self.max_items is not None:
            schema["maxItems"] = self.max_items
        return schema
