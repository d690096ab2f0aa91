"""Text that arrives in pieces, read as if it were there from the beginning.

The state machines of the dialects are generators over a TextScanner: they yield when
what they want to see is not there yet, and go on when more has been fed. So a
format is written down in the order in which a model writes it, and where the
text was cut makes no difference.

A scanner holds what is undecided, mostly the beginning of a mark; everything
else is taken at once, so that neither long outputs nor short pieces cost more
than the time to look at each character a few times.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Generator
from typing import TypeVar

_T = TypeVar("_T")

#: A part of a state machine: yields for more text, returns what it found.
Parse = Generator[None, None, _T]
#: Takes text, piece by piece.
Sink = Callable[[str], object]

#: White space, as JSON defines it.
SPACE = re.compile(r"[ \t\r\n]*")


class Delimiters:
    """Texts to look for. None may begin another, or stand inside of one.

    One may end another: what is found is the first that begins.
    """

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self._pattern, self._beginnings = _compiled(texts)
        self._longest = max(map(len, texts), default=1)

    def find(self, text: str, start: int) -> tuple[int, str]:
        """Return where the first mark is, and the mark.

        Without one: where the text ends that cannot belong to one, and "".
        """
        if found := self._pattern.search(text, start):
            return found.start(), found.group()
        for at in range(max(start, len(text) - self._longest + 1), len(text)):
            if text[at:] in self._beginnings:
                return at, ""
        return len(text), ""

    def removed_from(self, text: str) -> str:
        """Return the text without the marks in it."""
        return self._pattern.sub("", text)


@functools.lru_cache(maxsize=256)
def _compiled(texts: tuple[str, ...]) -> tuple[re.Pattern[str], frozenset[str]]:
    """Return what finds a text, and every beginning of one."""
    beginnings = (text[:length] for text in texts for length in range(1, len(text)))
    return re.compile("|".join(map(re.escape, texts)) or "(?!)"), frozenset(beginnings)


class TextScanner:
    """What a model has written and nobody has taken yet."""

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
        """Note that nothing more will come: from here on no step waits."""
        self._is_closed = True

    def take(self, count: int) -> str:
        """Take as many characters, or what is left."""
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

    def copy(self, pattern: re.Pattern[str], sink: Sink) -> Parse[None]:
        """Pass on the characters of a class, ``[…]*``, as far as they go."""
        while True:
            if found := pattern.match(self._text, self._at):
                sink(self.take(found.end() - self._at))
            if self._at < len(self._text) or self._is_closed:
                return
            yield

    def run(self, pattern: re.Pattern[str]) -> Parse[str]:
        """Take the characters of a class, ``[…]*``, as far as they go."""
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

    def until(self, marks: Delimiters, sink: Sink) -> Parse[str]:
        """Pass on what comes before the first mark. Return the mark, not taken.

        At the end of the text: "".
        """
        while True:
            end, mark = marks.find(self._text, self._at)
            if self._is_closed and not mark:
                end = len(self._text)
            if end > self._at:
                sink(self.take(end - self._at))
            if mark or self._is_closed:
                return mark
            yield

    def remember(self) -> None:
        """Keep what is taken from here on, in case that it must be given back."""
        self._taken = []

    def forget(self) -> None:
        """Give up what was remembered: it has been understood."""
        self._taken = None

    def recall(self) -> str:
        """Return what was taken since ``remember``, or "" after ``forget``."""
        taken = "".join(self._taken or ())
        self._taken = None
        return taken
