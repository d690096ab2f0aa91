"""Values as text between fixed marks, as data: for prompts and for grammars of answers.

An object is

    begin MEMBER (separator MEMBER)* end

with a pair of ``member`` around each key and value. A list is

    begin ITEM (separator ITEM)* end

Strings stand between ``quotes``; without quotes, up to what ends the member or the
item. Numbers, booleans and null are JSON.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.output_parsers.notations.pair_framing import PairFraming

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w.-]*")


@dataclass(frozen=True, slots=True)
class Notation:
    """The fixed text of one family's values.

    ``is_sorted``: members stand in the order of their keys.
    """

    member: PairFraming
    quotes: str = ""
    separator: str = ""
    object: tuple[str, str] = ("", "")
    array: tuple[str, str] = ("", "")
    item: tuple[str, str] = ("", "")
    is_sorted: bool = False

    def members(self, value: Mapping[str, Any]) -> str:
        """Return the members of an object, without what is around them."""
        keys = sorted(value, key=str.lower) if self.is_sorted else value
        filled = (self.member.fill(key, self.write(value[key])) for key in keys)
        return self.separator.join(filled)

    def write(self, value: Any) -> str:
        """Return a value; JSON if the notation has no way to write it."""
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, dict) and self._can_write(value):
            return self.members(value).join(self.object)
        if isinstance(value, list) and (value or any(self.array)):
            items = (self.write(item).join(self.item) for item in value)
            return self.separator.join(items).join(self.array)
        return json.dumps(value, ensure_ascii=False)

    def _string(self, value: str) -> str:
        if not self.quotes:
            return value
        if self.quotes in value:
            return json.dumps(value, ensure_ascii=False)
        return value.join((self.quotes, self.quotes))

    def _can_write(self, value: Mapping[str, Any]) -> bool:
        is_empty = not value and not any(self.object)
        return not is_empty and all(map(_PLAIN_KEY.fullmatch, value))
