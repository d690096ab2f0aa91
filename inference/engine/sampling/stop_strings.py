"""Matches stop strings across token boundaries."""

from __future__ import annotations


class StopString:
    """Searches for one string in a text that arrives character by character.

    Uses Knuth, Morris and Pratt's algorithm: the cost per character does not depend on
    the length of the string.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        #: For each prefix of the string, the longest proper prefix that also ends it.
        self._shorter = [0]
        #: How many characters of the string the text so far ends with.
        self.matched = 0
        for character in text[1:]:
            self.take(character)
            self._shorter.append(self.matched)
        self.matched = 0

    def take(self, character: str) -> int:
        """Take a character; return the string's length if it is complete, else 0."""
        while self.matched and self.text[self.matched] != character:
            self.matched = self._shorter[self.matched - 1]
        if self.text[self.matched] == character:
            self.matched += 1
        if self.matched == len(self.text):
            return self.matched
        return 0
