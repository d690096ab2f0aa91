"""Checks the values of JSON schema's keywords, one by one."""

from __future__ import annotations

import math
import re
from typing import Any

from inference.engine.structured_output.json_schema.lookahead import (
    without_lookahead,
)
from inference.engine.structured_output.json_schema.patterns import (
    UnsupportedPattern,
    rust_pattern,
)

MAX_DEPTH = 40
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
COUNTS = {
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
}
BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_MAX_COUNT = 10**9
#: Control characters without a short escape in JSON.
_UNWRITABLE = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")
#: llguidance uses doubles, which are exact up to this integer.
_MAX_EXACT = 2**53


class SchemaError(Exception):
    """A schema that cannot be enforced; ``path`` is the place of the fault in it."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class EngineLimit(SchemaError):
    """A value that means something, and that llguidance cannot enforce."""


class TooLargeSchema(SchemaError):
    """A schema that is too large to be looked at as a whole."""


def modern_keywords(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the schema with the keywords of draft 2020-12, in the same order."""
    modern = {}
    for keyword, value in schema.items():
        if keyword == "items" and isinstance(value, list):
            if "prefixItems" in schema:
                raise SchemaError("it cannot be a list beside 'prefixItems'", path)
            modern["prefixItems"] = value
        elif keyword == "additionalItems":
            # It has no effect without a list of items.
            if isinstance(schema.get("items"), list):
                modern["items"] = value
        elif keyword in ("exclusiveMinimum", "exclusiveMaximum") and value is True:
            bound = "minimum" if keyword == "exclusiveMinimum" else "maximum"
            if bound in schema:
                modern[keyword] = schema[bound]
        elif not (keyword.startswith("exclusive") and value is False):
            modern[keyword] = value
    if modern.get("prefixItems") == []:
        del modern["prefixItems"]
    return modern


def plain_value(keyword: str, value: Any, path: str) -> Any:
    """Return the value of a keyword that contains no schemas."""
    if keyword == "type":
        names = value if isinstance(value, list) else [value]
        if not names or any(name not in TYPES for name in names):
            raise SchemaError(f"it must be one or some of {', '.join(TYPES)}", path)
        return value
    if keyword == "const":
        return _literal(value, path, 0)
    if keyword == "enum":
        return [
            _literal(item, f"{path}[{index}]", 0)
            for index, item in enumerate(nonempty(value, path))
        ]
    if keyword == "required":
        expect(value, list, "an array of strings", path)
        if not all(isinstance(name, str) for name in value):
            raise SchemaError("it must be an array of strings", path)
        return value
    if keyword in COUNTS:
        number = exact_number(value, path)
        if not 0 <= number <= _MAX_COUNT or number != int(number):
            raise SchemaError(f"it must be a whole number up to {_MAX_COUNT}", path)
        return int(number)
    if keyword in BOUNDS:
        return _bound(value, path)
    raise SchemaError("this keyword cannot be enforced", path)


def pattern_values(pattern: Any, path: str) -> list[str]:
    """Return patterns in Rust's syntax that all match where a pattern does.

    Raises SchemaError.
    """
    expect(pattern, str, "a string", path)
    patterns = without_lookahead(pattern) or [pattern]
    return [pattern_value(each, path) for each in patterns]


def pattern_value(pattern: str, path: str) -> str:
    """Return the pattern in Rust's syntax. Raises SchemaError."""
    try:
        return rust_pattern(pattern)
    except UnsupportedPattern as error:
        raise EngineLimit(str(error), path) from None


def _literal(value: Any, path: str, depth: int) -> Any:
    """Return a constant whose numbers and depth are within the limits."""
    if depth > MAX_DEPTH:
        raise SchemaError(f"it is nested deeper than {MAX_DEPTH}", path)
    if isinstance(value, list):
        return [_literal(item, path, depth + 1) for item in value]
    if isinstance(value, dict):
        return {name: _literal(item, path, depth + 1) for name, item in value.items()}
    if isinstance(value, str) and _UNWRITABLE.search(value):
        raise SchemaError("control characters cannot be written", path)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return exact_number(value, path) if is_number else value


def exact_number(value: Any, path: str) -> Any:
    """Return a number that llguidance represents exactly. Raises SchemaError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SchemaError("it must be a number", path)
    if isinstance(value, int) and abs(value) > _MAX_EXACT:
        raise SchemaError("whole numbers beyond 2 to the 53rd are not exact", path)
    if not math.isfinite(value):
        raise SchemaError("it must be a finite number", path)
    return value


def _bound(value: Any, path: str) -> Any:
    """Return a bound of numbers that llguidance can compare with."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and _MAX_EXACT < abs(value) < math.inf:
        raise EngineLimit("a bound beyond 2 to the 53rd cannot be enforced", path)
    return exact_number(value, path)


def expect(value: Any, kind: type, name: str, path: str) -> None:
    """Raise SchemaError unless the value is of this type."""
    if not isinstance(value, kind):
        raise SchemaError(f"it must be {name}", path)


def nonempty(value: Any, path: str) -> list[Any]:
    """Return a list that is not empty. Raises SchemaError."""
    if not isinstance(value, list) or not value:
        raise SchemaError("it must be an array that is not empty", path)
    return value
