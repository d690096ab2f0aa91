"""Computes logprobs from a row of logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the logprobs; computed in 64 bits."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max()
    shifted -= np.log(np.exp(shifted).sum())
    return shifted


def likeliest(logprobs: NDArray[np.float64], count: int) -> list[int]:
    """Return the ids of the most likely tokens, best first; of equals the lower id."""
    if not count:
        return []
    # Of tokens equal to the last one, those with the lowest ids count.
    least = np.partition(logprobs, -count)[-count]
    ids = np.flatnonzero(logprobs >= least)
    ids = ids[np.argsort(-logprobs[ids], kind="stable")][:count]
    return [int(token) for token in ids]
