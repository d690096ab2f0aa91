"""The beginnings of prompts that a worker has got since it last said so."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Beginnings that one heartbeat names, some 9 bytes each; more are left out, and the
#: requests that other web processes send for these are spread as new ones are.
MAX_NAMED = 2048
#: What is remembered as named, so that it is not named again with every request.
_MAX_REMEMBERED = 50_000


class NewPrefixes:
    """Hashes of beginnings, as ``prefix_hashes`` returns them."""

    def __init__(self) -> None:
        self._named: OrderedDict[int, None] = OrderedDict()
        self._new: OrderedDict[int, None] = OrderedDict()

    def put(self, hashes: Iterable[int]) -> None:
        """Note the beginnings of a prompt that is here."""
        for each in hashes:
            if each in self._named:
                self._named.move_to_end(each)
            else:
                self._new[each] = None

    def take(self) -> tuple[int, ...]:
        """Return those that were not named before, the newest if there are many."""
        found = tuple(self._new)[-MAX_NAMED:]
        self._named |= self._new
        self._new.clear()
        while len(self._named) > _MAX_REMEMBERED:
            self._named.popitem(last=False)
        return found
