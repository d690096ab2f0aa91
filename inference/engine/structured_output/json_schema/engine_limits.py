"""What llguidance cannot enforce, or only up to some size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from inference.engine.structured_output.json_schema.values import (
    SchemaError,
    exact_number,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: llguidance's parser tracks every property that may come next.
MAX_OPTIONAL = 400
#: An automaton with this many states tests a number for being a multiple.
MAX_MULTIPLE = 10_000
MAX_MULTIPLES_TOGETHER = 100_000
#: All numbers of 18 digits, and most that have 64 bits.
_MAX_INTEGER = 9 * 10**18


class Multiples:
    """The values of ``multipleOf`` in one schema, which are bounded together."""

    def __init__(self) -> None:
        self._multiples: list[int] = []

    def add(self, value: Any, path: str) -> float:
        """Return a value as a number. Raises SchemaError."""
        number: float = exact_number(value, path)
        if number <= 0:
            raise SchemaError("it must be above 0", path)
        digits = f"{number:.10f}".rstrip("0").rstrip(".")
        coefficient = max(int(digits.replace(".", "")), 1)
        multiples = [*self._multiples, coefficient]
        if float(digits) != number or sum(multiples) > MAX_MULTIPLE:
            raise SchemaError(
                "it is too large or too fine: without their decimal points all values "
                f"of 'multipleOf' may add up to {MAX_MULTIPLE}",
                path,
            )
        if math.lcm(*multiples) > MAX_MULTIPLES_TOGETHER:
            raise SchemaError(
                "the least common multiple of all values of 'multipleOf' is above "
                f"{MAX_MULTIPLES_TOGETHER}",
                path,
            )
        self._multiples = multiples
        return number


def bound_integers(out: dict[str, Any]) -> None:
    """Bound integers that have no bounds: a small model writes digits without end."""
    if out.get("type") != "integer" or {"const", "enum", "multipleOf"} & out.keys():
        return
    if not {"minimum", "exclusiveMinimum"} & out.keys():
        out["minimum"] = -_MAX_INTEGER
    if not {"maximum", "exclusiveMaximum"} & out.keys():
        out["maximum"] = _MAX_INTEGER


def too_much_for_objects(out: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield keywords of an object that llguidance cannot enforce, and why."""
    required = set(out.get("required", ()))
    optional = out.get("properties", {}).keys() - required
    if len(optional) > MAX_OPTIONAL:
        yield (
            "properties",
            f"{len(optional)} properties are optional, and at most {MAX_OPTIONAL} "
            "may be",
        )
    # A key that 'properties' does not list may come twice, but counts once.
    if out.get("minProperties", 0) > len(required) + 1:
        yield (
            "minProperties",
            "it can be at most one more than there are names in 'required'",
        )
