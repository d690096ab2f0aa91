"""Stop strings, found however the tokens cut the text."""

from __future__ import annotations


class StopString:
    """Looks for one string in characters that come one by one.

    Knuth, Morris and Pratt's algorithm: a character costs the same however long
    and however repetitive the string is.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        #: For each beginning of the text, the longest that also ends it.
        self._shorter = [0]
        #: How much of the text the characters so far end with.
        self.matched = 0
        for character in text[1:]:
            self.take(character)
            self._shorter.append(self.matched)
        self.matched = 0

    def take(self, character: str) -> int:
        """Take a character; return the text's length if it is complete, or 0."""
        while self.matched and self._text[self.matched] != character:
            self.matched = self._shorter[self.matched - 1]
        if self._text[self.matched] == character:
            self.matched += 1
        if self.matched == len(self._text):
            return self.matched
        return 0
