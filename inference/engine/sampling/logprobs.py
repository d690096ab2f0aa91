"""Logprobs of tokens, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, its bytes, and the natural logarithm of its probability.

    A control token's bytes are its name, such as ``<|im_end|>``.
    """

    token: int
    piece: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """A token's logprob, and the most likely tokens in its place, best first.

    They are the model's own: before penalties, temperature or any other sampler.
    """

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...] = ()
