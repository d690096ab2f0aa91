"""Converts token bytes to text: incremental UTF-8, stop strings, hold-back."""

from __future__ import annotations

import codecs

from inference.engine.sampling.stop_strings import StopString


class Detokenizer:
    """Converts the bytes of one sequence's tokens to text, once it is certain.

    Text is certain once its UTF-8 is complete and it cannot be the beginning of a stop
    string any more; until then it is held back. The stop string that is complete first
    ends the text; of those that end together, the longest. Token boundaries make no
    difference. The text includes it only with ``includes_stop``. The first
    ``min_tokens`` tokens are not searched.
    """

    def __init__(
        self,
        stop: tuple[str, ...] = (),
        *,
        min_tokens: int = 0,
        includes_stop: bool = False,
    ) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = [StopString(text) for text in stop]
        self._unwatched = min_tokens
        self._includes_stop = includes_stop
        self._held = ""
        #: The stop string that has ended the text.
        self.stopped_by = ""

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string is complete."""
        return bool(self.stopped_by)

    def push(self, piece: bytes) -> str:
        """Take a token's bytes; return the text that became certain."""
        text = self._decoder.decode(piece)
        if self._unwatched:
            self._unwatched -= 1
            return text
        return self._release(text)

    def flush(self) -> str:
        """Return the text that is held back: the sequence ends here.

        An incomplete character becomes U+FFFD.
        """
        text = self._release(self._decoder.decode(b"", final=True))
        text, self._held = text + self._held, ""
        return text

    def _release(self, text: str) -> str:
        if self.is_stopped:
            return ""
        if not self._stops:
            return text
        certain = self._held + text
        for end, character in enumerate(text, start=len(self._held) + 1):
            # Each takes the character.
            complete = [stop.text for stop in self._stops if stop.take(character)]
            if complete:
                self.stopped_by = max(complete, key=len)
                length = len(self.stopped_by)
                self._held = ""
                return certain[: end if self._includes_stop else end - length]
        border = len(certain) - max(stop.matched for stop in self._stops)
        self._held = certain[border:]
        return certain[:border]
