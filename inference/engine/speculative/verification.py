"""Verifies a draft against the sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def verified(draft: list[int], sample: Callable[[int], list[int]]) -> list[int]:
    """Return the tokens of a step: sampled one by one while the draft agrees.

    ``sample(n)`` samples after the draft's first ``n`` tokens: it returns a token and
    those that a grammar forces after it; nothing if the answer is complete.
    """
    tokens: list[int] = []
    while tokens == draft[: len(tokens)]:
        drawn = sample(len(tokens))
        if not drawn:
            break
        tokens += drawn
    return tokens


def num_agreed(draft: Sequence[int], tokens: Sequence[int]) -> int:
    """Return how many of the first tokens of a draft were sampled too."""
    pairs = enumerate(zip(draft, tokens, strict=False))
    most = min(len(draft), len(tokens))
    return next((index for index, (one, other) in pairs if one != other), most)
