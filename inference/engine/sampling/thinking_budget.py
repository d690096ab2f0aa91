"""Limits the reasoning tokens of an answer."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SPACE = b" \t\r\n"
#: The bytes of a character of UTF-8 after its first: at most this many more tokens.
_MAX_PATIENCE = 3


@dataclass(frozen=True, slots=True)
class ThinkingBudget:
    """The maximum number of reasoning tokens, and how reasoning is made to end.

    Reasoning begins with one of ``begin`` at the answer's beginning, or at once if the
    prompt ``is_begun``, and ends with one of ``end``. When the budget is spent,
    ``closing`` is written. If the format allows several pieces of reasoning, they share
    one budget, and after the first forced end each is closed by ``last_closing``, which
    continues with the answer; "" is a format with one piece.
    """

    max_tokens: int
    begin: tuple[str, ...]
    end: tuple[str, ...]
    closing: str
    last_closing: str = ""
    is_begun: bool = False


class ThinkingWatch:
    """Follows one answer, and forces its reasoning to end with the budget."""

    def __init__(
        self, budget: ThinkingBudget, tokenize: Callable[[str], list[int]]
    ) -> None:
        self._budget = budget
        self._begin = tuple(text.encode() for text in budget.begin)
        self._end = tuple(text.encode() for text in budget.end)
        closings = [budget.closing, budget.last_closing or budget.closing]
        self._closings = itertools.chain(
            map(tokenize, closings), itertools.repeat(tokenize(closings[-1]))
        )
        self._text = b""
        self._left = budget.max_tokens
        self._patience = _MAX_PATIENCE
        self._is_thinking = budget.is_begun
        self._is_over = False
        self._forced: list[int] = []
        self._spend(0)

    @property
    def forced(self) -> int | None:
        """The token that must come next; None if any may."""
        return self._forced[0] if self._forced else None

    def accept(self, piece: bytes) -> None:
        """Take the text of the answer's next token; a mark's name if it is one."""
        if self._is_over:
            return
        if self._forced:
            del self._forced[0]
            if not self._forced:
                self._leave()
        elif self._is_thinking:
            self._text += piece
            if any(end in self._text for end in self._end):
                self._leave()
                return
            # Only an incomplete end mark, or an incomplete character, matters later.
            self._text = self._text[-max(map(len, self._end)) :]
            self._spend(1)
        else:
            self._text += piece
            self._look_for_begin()

    def _look_for_begin(self) -> None:
        if self._budget.last_closing:
            text = self._text
            is_begun = any(begin in text for begin in self._begin)
            self._text = text[-max(map(len, self._begin)) :]
        else:
            text = self._text.lstrip(_SPACE)
            is_begun = text.startswith(self._begin)
            self._is_over = not any(begin.startswith(text) for begin in self._begin)
        if is_begun:
            self._text, self._is_thinking, self._is_over = b"", True, False
            self._spend(0)

    def _spend(self, count: int) -> None:
        """Count reasoning tokens; force the end if the budget is spent."""
        self._left -= count
        if not self._is_thinking or self._left > 0:
            return
        if _is_whole(self._text) or self._patience == 0:
            self._forced = list(next(self._closings))
        else:
            self._patience -= 1

    def _leave(self) -> None:
        self._text, self._is_thinking = b"", False
        self._is_over = not self._budget.last_closing


def _is_whole(text: bytes) -> bool:
    """Return whether the text ends with a whole character, or with none at all."""
    for length in range(1, min(4, len(text)) + 1):
        byte = text[-length]
        if byte & 0xC0 != 0x80:
            needed = 2 if byte & 0xE0 == 0xC0 else 3 if byte & 0xF0 == 0xE0 else 4
            return byte < 0x80 or byte >= 0xF8 or length >= needed
    return True
