"""Token bytes to text: incremental UTF-8, stop strings, hold-back."""

from __future__ import annotations

import codecs


class Detokenizer:
    """Turns the bytes of one sequence's tokens into text that is certain.

    Text is certain once its UTF-8 is complete and it cannot be the beginning of
    a stop string any more; until then it is held back. A stop string itself is
    never given out.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = stop
        self._held = ""
        self.is_stopped = False

    def push(self, piece: bytes) -> str:
        """Take a token's bytes; return the text that became certain.

        Sets ``is_stopped`` when a stop string is complete.
        """
        return self._release(self._decoder.decode(piece))

    def flush(self) -> str:
        """Return what is held back: the sequence ends here.

        Bytes that are no whole character become U+FFFD.
        """
        text = self._release(self._decoder.decode(b"", final=True))
        text, self._held = text + self._held, ""
        return text

    def _release(self, text: str) -> str:
        if self.is_stopped:
            return ""
        if not self._stop:
            return text
        held = self._held + text
        found = [at for at in (held.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.is_stopped = True
            self._held = ""
            return held[: min(found)]
        keep = max(_overlap(held, stop) for stop in self._stop)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of ``text`` that begins ``stop``."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
