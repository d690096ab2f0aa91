"""Drafts tokens from the prompt, the answer so far, or a prediction of the answer."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The length of an n-gram that must match before its continuation is drafted. Saxena's
#: default (github.com/apoorvumang/prompt-lookup-decoding).
_NGRAM = 3


class PromptLookup:
    """Drafts that the sequence repeats earlier tokens.

    What followed the newest earlier occurrence of the last three tokens is the draft.
    After Saxena, "Prompt Lookup Decoding", 2023
    (github.com/apoorvumang/prompt-lookup-decoding); vLLM calls it ngram. A
    ``prediction`` of the answer, which the client may give, has precedence: it is
    drafted from its beginning, and again from where the answer returns to it.
    ``is_predicted`` says whether the last draft came from the prediction.
    """

    def __init__(
        self, prompt: Sequence[int] = (), prediction: Sequence[int] = ()
    ) -> None:
        #: Where the continuation of each n-gram's newest occurrence begins.
        self._after: dict[tuple[int, ...], int] = {}
        self._seen = _NGRAM
        # The prediction follows the prompt.
        self._predicted = [*prompt[-_NGRAM:], *prediction] if prediction else []
        #: Where in the prediction the continuations of each n-gram begin, ascending.
        self._places: dict[tuple[int, ...], list[int]] = {}
        for end in range(_NGRAM, len(self._predicted)):
            ngram = tuple(self._predicted[end - _NGRAM : end])
            self._places.setdefault(ngram, []).append(end)
        #: How far the answer has followed the prediction.
        self._place = 0
        self.is_predicted = False

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        """Return up to ``count`` tokens that may follow ``tokens``, which only grow."""
        # The last n-gram itself has no continuation yet.
        for end in range(self._seen, len(tokens)):
            self._after[tuple(tokens[end - _NGRAM : end])] = end
        self._seen = max(self._seen, len(tokens))
        newest = tuple(tokens[len(tokens) - _NGRAM :])
        places = self._places.get(newest)
        self.is_predicted = bool(places)
        if places:
            # The next one, or the last if the answer has gone back.
            nearest = min(bisect_left(places, self._place), len(places) - 1)
            self._place = places[nearest]
            return self._predicted[self._place : self._place + count]
        start = self._after.get(newest)
        if start is None:
            return []
        # A repetition is expected to continue.
        period = len(tokens) - start
        return [tokens[start + place % period] for place in range(count)]
