"""Text that arrives in pieces, read as if it were complete.

Readers of a format are generators over a TextScanner: they yield when they need more
text, and continue when it has arrived. So a format is written down in the order in
which a model writes it, and it makes no difference where the text was cut.

A scanner holds back only undecided text, in most cases the beginning of a tag. So the
time grows with the length of the text, whatever the size of its pieces.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Generator
from typing import TypeVar

_T = TypeVar("_T")

#: A part of a reader: yields when it needs more text, returns what it found.
Parse = Generator[None, None, _T]
#: Receives text, piece by piece.
Sink = Callable[[str], object]

#: White space as JSON defines it.
SPACE = re.compile(r"[ \t\r\n]*")


class Delimiters:
    """Texts to look for. None may be the beginning or the middle of another.

    One may be the end of another; the one that begins first is found.
    """

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self._pattern, self._beginnings = _compiled(texts)
        self.longest = max(map(len, texts), default=1)

    def find(self, text: str, start: int) -> tuple[int, str]:
        """Return the position of the first tag, and the tag.

        Without a tag: the end of the text that cannot belong to one, and "".
        """
        if found := self._pattern.search(text, start):
            return found.start(), found.group()
        for at in range(max(start, len(text) - self.longest + 1), len(text)):
            if text[at:] in self._beginnings:
                return at, ""
        return len(text), ""

    def removed_from(self, text: str) -> str:
        """Return the text without the tags in it."""
        return self._pattern.sub("", text)


@functools.lru_cache(maxsize=256)
def _compiled(texts: tuple[str, ...]) -> tuple[re.Pattern[str], frozenset[str]]:
    """Return a pattern for the texts, and all beginnings of them."""
    beginnings = (text[:length] for text in texts for length in range(1, len(text)))
    return re.compile("|".join(map(re.escape, texts)) or "(?!)"), frozenset(beginnings)


class TextScanner:
    """The text that a model has written and no reader has taken yet."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._is_closed = False
        self._taken: list[str] | None = None

    def feed(self, text: str) -> None:
        """Add what the model wrote next. Raises ValueError once closed."""
        if self._is_closed:
            raise ValueError("The text has ended.")
        self._text = self._text[self._at :] + text
        self._at = 0

    def close(self) -> None:
        """Mark the end of the text: readers no longer wait for more."""
        self._is_closed = True

    def take(self, count: int) -> str:
        """Take ``count`` characters, or what is left."""
        taken = self._text[self._at : self._at + count]
        self._at += len(taken)
        if self._taken is not None:
            self._taken.append(taken)
        return taken

    def peek(self, count: int = 1) -> Parse[str]:
        """Return the next characters, fewer only at the end of the text."""
        while len(self._text) - self._at < count and not self._is_closed:
            yield
        return self._text[self._at : self._at + count]

    def following(self, position: int, count: int) -> Parse[str]:
        """Return up to ``count`` characters from ``position`` ahead; "" is the end."""
        while len(self._text) - self._at <= position and not self._is_closed:
            yield
        start = self._at + position
        return self._text[start : start + count]

    def give_back(self, text: str) -> None:
        """Put back text that was taken last."""
        self._text = text + self._text[self._at :]
        self._at = 0

    def copy(self, pattern: re.Pattern[str], sink: Sink) -> Parse[None]:
        """Pass on the characters that match a class, ``[…]*``."""
        while True:
            if found := pattern.match(self._text, self._at):
                sink(self.take(found.end() - self._at))
            if self._at < len(self._text) or self._is_closed:
                return
            yield

    def run(self, pattern: re.Pattern[str]) -> Parse[str]:
        """Take the characters that match a class, ``[…]*``."""
        parts: list[str] = []
        yield from self.copy(pattern, parts.append)
        return "".join(parts)

    def space(self) -> Parse[str]:
        """Take white space."""
        return (yield from self.run(SPACE))

    def at(self, *options: str) -> Parse[str]:
        """Return the longest option that comes next, or "". Takes nothing."""
        longest = max(map(len, options), default=0)
        while True:
            here = self._text[self._at : self._at + longest]
            found, is_undecided = "", False
            for option in options:
                if not here.startswith(option):
                    is_undecided |= option.startswith(here)
                elif len(option) > len(found):
                    found = option
            if self._is_closed or not is_undecided:
                return found
            yield

    def accept(self, *options: str) -> Parse[str]:
        """Take the longest option that comes next and return it, or ""."""
        option = yield from self.at(*options)
        return self.take(len(option))

    def drop(self, *texts: str) -> Parse[None]:
        """Take these texts and white space, as often as they come."""
        yield from self.space()
        while (yield from self.accept(*texts)):
            yield from self.space()

    def until(self, delimiters: Delimiters, sink: Sink) -> Parse[str]:
        """Pass on the text before the first tag. Return the tag without taking it.

        Returns "" at the end of the text.
        """
        while True:
            end, tag = delimiters.find(self._text, self._at)
            if self._is_closed and not tag:
                end = len(self._text)
            if end > self._at:
                sink(self.take(end - self._at))
            if tag or self._is_closed:
                return tag
            yield

    @property
    def is_remembering(self) -> bool:
        """Whether the text taken last is still remembered: it is not understood."""
        return self._taken is not None

    def remember(self) -> None:
        """Keep the text that is taken from now on, so that ``recall`` can return it."""
        self._taken = []

    def forget(self) -> None:
        """Drop the remembered text: it has been understood."""
        self._taken = None

    def recall(self) -> str:
        """Return the text taken since ``remember``, or "" after ``forget``."""
        taken = "".join(self._taken or ())
        self._taken = None
        return taken
