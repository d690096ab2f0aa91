"""The fixed text around a name and its value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PairFraming:
    """The fixed text around a name and its value.

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

    def fill(self, name: str, value: str) -> str:
        """Return the name and the value with the text around them."""
        return self.before_name + name + self.between + value + self.closing(name)
