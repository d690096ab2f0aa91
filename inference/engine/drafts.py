"""Speculative decoding: which tokens to guess, and how many of them pay."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Tokens that must have come before for what followed them to be a guess.
_NGRAM = 3
#: The longest guess.
MAX_DRAFT = 8
#: Where nothing is known yet, every second guess is taken to be right.
_UNKNOWN = 0.5
#: Weight of the newest guess in the mean.
_NEWEST = 0.15
#: How fast a sequence that stopped guessing comes to try again.
_FORGETTING = 0.01
#: A guess must promise this much more speed than none.
_MARGIN = 1.05


class PromptLookup:
    """Guesses that a sequence repeats itself: the prompt is a draft of the answer.

    What followed the newest earlier occurrence of the last three tokens is the
    guess. After Saxena, "Prompt Lookup Decoding", 2023
    (github.com/apoorvumang/prompt-lookup-decoding).
    """

    def __init__(self) -> None:
        #: Where the tokens after each n-gram begin, the newest occurrence.
        self._after: dict[tuple[int, ...], int] = {}
        self._seen = _NGRAM

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        """Return up to ``count`` tokens that may follow ``tokens``, which only grow."""
        # The last n-gram itself has nothing after it yet.
        for end in range(self._seen, len(tokens)):
            self._after[tuple(tokens[end - _NGRAM : end])] = end
        self._seen = max(self._seen, len(tokens))
        start = self._after.get(tuple(tokens[len(tokens) - _NGRAM :]))
        return list(tokens[start : start + count]) if start is not None else []


class Acceptance:
    """How often a sequence's guesses are right: a running mean."""

    def __init__(self) -> None:
        self.rate = _UNKNOWN

    def observe(self, drafted: int, accepted: int) -> None:
        """Learn from a guess; a wrong token hides whether those after it were right."""
        for is_right in [True] * accepted + [False] * (accepted < drafted):
            self.rate += _NEWEST * (is_right - self.rate)

    def rest(self) -> None:
        """Forget a little: a guess could have been made and was not."""
        self.rate += _FORGETTING * (_UNKNOWN - self.rate)


def draft_length(
    rate: float,
    limit: int,
    *,
    tokens: int,
    expected: float,
    step_seconds: Callable[[int], float],
) -> tuple[int, float]:
    """Return how many tokens of a guess pay in a step, and how many will be right.

    The step has ``tokens`` already and gives ``expected``. Each further token
    costs what a larger batch costs, and is right if all before it are: the length
    is the one with most tokens per second. 0 where no guess pays, so a full batch
    on a machine that computes at its limit guesses nothing.
    """
    best, gained = 0, 0.0
    fastest = _MARGIN * expected / step_seconds(tokens)
    right = 0.0
    for length in range(1, limit + 1):
        right += rate**length
        speed = (expected + right) / step_seconds(tokens + length)
        if speed > fastest:
            best, gained, fastest = length, right, speed
    return best, gained
