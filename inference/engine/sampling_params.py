"""What a request asks of the sampler."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the tokens of one sequence are chosen, and when it ends.

    A neutral value switches a sampler off: top_p 1, top_k 0, min_p 0,
    repeat_penalty 1, presence and frequency penalty 0. Temperature 0 is greedy.
    ``seed`` None draws a fresh one. ``max_tokens`` None ends with the context.
    ``logit_bias`` holds (token id, bias) pairs.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_last_n: int = 64
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
