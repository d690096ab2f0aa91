"""The fixed text around a name and its value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Stand in ``between`` for the name once more, and for the JSON type of the value.
NAME, TYPE = "{name}", "{type}"


@dataclass(frozen=True, slots=True)
class PairFraming:
    """The fixed text around a name and its value; ``between`` may have NAME and TYPE.

    ``after_name``: the name comes again after ``after``, and this after it.
    ``for_strings``: the pair where the value is a string, if that is another one.
    """

    before_name: str
    between: str
    after: str
    after_name: str = ""
    for_strings: PairFraming | None = None

    def around(self, *, is_string: bool) -> PairFraming:
        """Return the pair around a value."""
        return self.for_strings if is_string and self.for_strings else self

    def closing(self, name: str) -> str:
        """Return the text after the value of this name."""
        return self.after + (name + self.after_name if self.after_name else "")

    def head(self, name: str, type_: str = "object") -> str:
        """Return the name with the text around it, up to its value."""
        between = self.between.replace(NAME, name).replace(TYPE, type_)
        return self.before_name + name + between

    def fill(self, name: str, value: str, type_: str = "object") -> str:
        """Return the name and the value with the text around them."""
        return self.head(name, type_) + value + self.closing(name)


def type_of(value: Any) -> str:
    """Return the JSON type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"
