"""Speculative decoding: which tokens to guess, and how many of them pay.

A guess is put into the batch behind the sequence's newest token. At each of its
places the sampler draws a token as it would have without the guess; the guess counts
as far as it says the same. So nothing is drawn from any distribution but the target
model's, greedy or not. It is the acceptance rule of Leviathan et al., "Fast Inference
from Transformers via Speculative Decoding", 2023, for guesses that are certain of
themselves: kept with the probability that the target gives it, else the target's
distribution without it, which is one draw from the target's. llama.cpp does so too
(``common_sampler_sample_and_accept_n``).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Tokens that must have come before for what followed them to be a guess.
_NGRAM = 3
#: The longest guess.
MAX_DRAFT = 16
#: Where nothing is known yet, guesses are taken to be good: a wrong one costs less
#: than never to find out.
_UNKNOWN = 0.8
#: Weight of the newest guess in the mean.
_NEWEST = 0.15
#: How fast what stopped guessing comes to try again.
_FORGETTING = 0.01
#: Guesses must promise this much more speed than none.
_MARGIN = 1.05


class PromptLookup:
    """Guesses that a sequence repeats itself: the prompt is a draft of the answer.

    What followed the newest earlier occurrence of the last three tokens is the
    guess. After Saxena, "Prompt Lookup Decoding", 2023
    (github.com/apoorvumang/prompt-lookup-decoding). A ``prediction`` of the answer,
    which the client may give, comes first: from its beginning, and on from where the
    answer comes back to it.
    """

    def __init__(
        self, prompt: Sequence[int] = (), prediction: Sequence[int] = ()
    ) -> None:
        #: Where the tokens after each n-gram begin, the newest occurrence.
        self._after: dict[tuple[int, ...], int] = {}
        self._seen = _NGRAM
        # The prediction follows the prompt.
        self._predicted = [*prompt[-_NGRAM:], *prediction] if prediction else []
        #: Where in the prediction the tokens after each n-gram begin, ascending.
        self._places: dict[tuple[int, ...], list[int]] = {}
        for end in range(_NGRAM, len(self._predicted)):
            ngram = tuple(self._predicted[end - _NGRAM : end])
            self._places.setdefault(ngram, []).append(end)
        #: How far the answer has come in the prediction.
        self._place = 0

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        """Return up to ``count`` tokens that may follow ``tokens``, which only grow."""
        # The last n-gram itself has nothing after it yet.
        for end in range(self._seen, len(tokens)):
            self._after[tuple(tokens[end - _NGRAM : end])] = end
        self._seen = max(self._seen, len(tokens))
        newest = tuple(tokens[len(tokens) - _NGRAM :])
        places = self._places.get(newest)
        if places:
            # The next one, or the last if the answer has gone back.
            nearest = min(bisect_left(places, self._place), len(places) - 1)
            self._place = places[nearest]
            return self._predicted[self._place : self._place + count]
        start = self._after.get(newest)
        if start is None:
            return []
        # What repeats itself goes on repeating itself.
        period = len(tokens) - start
        return [tokens[start + place % period] for place in range(count)]


def verified(draft: list[int], say: Callable[[int], list[int]]) -> list[int]:
    """Return the tokens of a step: drawn one by one as long as the draft agrees.

    ``say(n)`` draws what follows the draft's first ``n`` tokens: a token, and those
    that must follow it; nothing if the answer is complete.
    """
    tokens: list[int] = []
    while tokens == draft[: len(tokens)]:
        said = say(len(tokens))
        if not said:
            break
        tokens += said
    return tokens


def num_agreed(draft: Sequence[int], tokens: Sequence[int]) -> int:
    """Return how many tokens of a draft are those that came."""
    pairs = enumerate(zip(draft, tokens, strict=False))
    most = min(len(draft), len(tokens))
    return next((index for index, (one, other) in pairs if one != other), most)


class Acceptance:
    """How often guesses are right: a running mean."""

    def __init__(self, rate: float = _UNKNOWN) -> None:
        self.rate = rate

    def observe(self, drafted: int, accepted: int) -> None:
        """Learn from a guess; a wrong token hides whether those after it were right."""
        for is_right in [True] * accepted + [False] * (accepted < drafted):
            self.rate += _NEWEST * (is_right - self.rate)

    def rest(self) -> None:
        """Forget a little: a guess could have been made and was not."""
        self.rate += _FORGETTING * (_UNKNOWN - self.rate)


@dataclass(frozen=True, slots=True)
class Prospect:
    """A sequence's guess before it is made: up to ``limit`` tokens.

    Each is right with probability ``rate`` if those before it are. With
    ``takes_passes`` each token takes a pass of the draft model, which all sequences
    that draft so share.
    """

    rate: float
    limit: int
    takes_passes: bool = False


def draft_lengths(
    prospects: Sequence[Prospect],
    room: int,
    *,
    tokens: int,
    expected: float,
    step_seconds: Callable[[int], float],
    pass_seconds: Callable[[int], float],
    batch_s: float = 0.0,
) -> list[int]:
    """Return how many tokens of each guess pay in a step, ``room`` at most.

    The step has ``tokens`` already and gives ``expected``. Each further token costs
    what a larger batch costs (``step_seconds`` by tokens), and its share of the draft
    model's passes (``pass_seconds`` by sequences). A micro-batch of a split cache has
    as many tokens of each of its sequences, so guesses of different lengths are so many
    micro-batches, and each further one takes ``batch_s``. The likeliest tokens are
    taken first, as many as give most tokens per second. All lengths are 0 where no
    guess pays, so a full batch on a machine that computes at its limit guesses nothing.
    """
    # Each sequence that guesses nothing is in the first micro-batch only.
    others = {0} if round(expected) > len(prospects) else set()
    chances = sorted(
        (-(prospect.rate**depth), depth, index)
        for index, prospect in enumerate(prospects)
        for depth in range(1, prospect.limit + 1)
    )
    lengths = [0] * len(prospects)
    best = list(lengths)
    fastest = _MARGIN * expected / step_seconds(tokens)
    passes: list[int] = []
    passes_s = 0.0
    for chance, depth, index in chances[: max(room, 0)]:
        lengths[index] = depth
        tokens += 1
        expected -= chance
        if prospects[index].takes_passes:
            # A sequence takes part in a pass only after all before it.
            if depth > len(passes):
                passes.append(0)
            else:
                passes_s -= pass_seconds(passes[depth - 1])
            passes[depth - 1] += 1
            passes_s += pass_seconds(passes[depth - 1])
        more_batches_s = batch_s * (len(others.union(lengths)) - 1)
        speed = expected / (step_seconds(tokens) + passes_s + more_batches_s)
        if speed > fastest:
            best, fastest = list(lengths), speed
    return best
