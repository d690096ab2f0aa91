"""Builds the sampler chain of a request as data: samplers and their order.

Each penalty counts the tokens that it counts in the API of its name: OpenAI's presence
and frequency penalties the output; llama-server's repeat penalty and DRY, and vLLM's
repetition penalty, the prompt as well.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.engine.sampling.params import SamplingParams


@dataclass(frozen=True, slots=True)
class SamplerStep:
    """One sampler of the chain: its name and the arguments of its constructor.

    Both are llama.cpp's, with a tuple for an array. ``window`` is how many of the
    newest tokens it looks back at, ``sees_prompt`` whether the prompt's are among
    them. ``draws`` says that it draws a random number for each token.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    window: int = 0
    sees_prompt: bool = False
    draws: bool = False


#: llama.cpp's seeds have 32 bits, and the largest value means a random seed.
SEEDS = 2**32 - 1
#: llama-server's default window of the repeat penalty.
_REPEAT_LAST_N = 64
#: Mirostat 1 estimates the distribution from this many tokens, as its authors do.
_MIROSTAT_M = 100
#: Typical-p and mirostat use logarithms of probabilities, which banned tokens lack:
#: such tokens are removed before.
_POSSIBLE = SamplerStep("min_p", (1e-30, 1))
#: These remove unlikely tokens and keep the most likely.
_TRUNCATIONS = {"top_n_sigma", "top_k", "top_p", "min_p"}


def sampler_steps(
    params: SamplingParams, *, n_vocab: int, n_ctx: int
) -> list[SamplerStep]:
    """Return the chain for ``params``; its last step chooses the token.

    Samplers without an effect are left out: neutral ones, and in greedy sampling those
    that only remove other tokens.
    """
    seed = secrets.randbelow(SEEDS) if params.seed is None else params.seed % SEEDS
    steps: list[SamplerStep] = []
    for name in _order(params):
        if name == "penalties":
            steps.extend(_penalties(params, n_vocab, n_ctx))
        else:
            steps.extend(_sampler(name, params, n_ctx, seed))
    if params.mirostat:
        steps.append(_POSSIBLE)
    return [*steps, _choice(params, n_vocab, seed)]


def _order(params: SamplingParams) -> list[str]:
    if params.mirostat:
        # Mirostat replaces truncation.
        return ["penalties", "dry", "temperature"]
    order = list(params.samplers)
    if params.is_greedy:
        order.remove("temperature")
        if params.typical_p == 1 and not params.xtc_probability:
            order = [name for name in order if name not in _TRUNCATIONS]
    return order


def _penalties(
    params: SamplingParams, n_vocab: int, n_ctx: int
) -> Iterator[SamplerStep]:
    last_n = params.repeat_last_n
    if params.repeat_penalty != 1:
        window = _window(_REPEAT_LAST_N if last_n is None else last_n, n_ctx)
        arguments = (n_vocab, window, params.repeat_penalty, 0.0, 0.0)
        yield SamplerStep("penalties", arguments, window, sees_prompt=True)
    if params.repetition_penalty != 1:
        arguments = (n_vocab, n_ctx, params.repetition_penalty, 0.0, 0.0)
        yield SamplerStep("penalties", arguments, n_ctx, sees_prompt=True)
    if params.frequency_penalty or params.presence_penalty:
        window = _window(-1 if last_n is None else last_n, n_ctx)
        both = (params.frequency_penalty, params.presence_penalty)
        yield SamplerStep("penalties", (n_vocab, window, 1.0, *both), window)


def _window(last_n: int, n_ctx: int) -> int:
    """Return the newest tokens that count; -1 is all. llama.cpp allocates them."""
    return n_ctx if last_n < 0 else min(last_n, n_ctx)


def _sampler(
    name: str, params: SamplingParams, n_ctx: int, seed: int
) -> Iterator[SamplerStep]:
    """Yield the sampler of this name, if it has an effect."""
    keep = params.min_keep
    match name:
        case "dry" if params.dry_multiplier:
            strength = (params.dry_multiplier, params.dry_base)
            window = _window(params.dry_penalty_last_n, n_ctx)
            length, breakers = params.dry_allowed_length, params.dry_sequence_breakers
            arguments = (*strength, length, window, breakers)
            yield SamplerStep("dry", arguments, window, sees_prompt=True)
        case "top_n_sigma" if params.top_n_sigma > 0:
            yield SamplerStep("top_n_sigma", (params.top_n_sigma,))
        case "top_k" if params.top_k > 0:
            yield SamplerStep("top_k", (params.top_k,))
        case "typical_p" if params.typical_p < 1:
            yield _POSSIBLE
            yield SamplerStep("typical", (params.typical_p, keep))
        case "top_p" if params.top_p < 1:
            yield SamplerStep("top_p", (params.top_p, keep))
        case "min_p" if params.min_p > 0:
            yield SamplerStep("min_p", (params.min_p, keep))
        case "xtc" if params.xtc_probability:
            chance = (params.xtc_probability, params.xtc_threshold)
            yield SamplerStep("xtc", (*chance, keep, seed), draws=True)
        case "temperature" if params.dynatemp_range:
            spread = (params.dynatemp_range, params.dynatemp_exponent)
            yield SamplerStep("temp_ext", (params.temperature, *spread))
        case "temperature" if params.temperature != 1:
            yield SamplerStep("temp", (params.temperature,))


def _choice(params: SamplingParams, n_vocab: int, seed: int) -> SamplerStep:
    target = (params.mirostat_tau, params.mirostat_eta)
    if params.mirostat == 1:
        return SamplerStep("mirostat", (n_vocab, seed, *target, _MIROSTAT_M))
    if params.mirostat == 2:
        return SamplerStep("mirostat_v2", (seed, *target))
    if params.is_greedy:
        return SamplerStep("greedy")
    if params.adaptive_target >= 0:
        arguments = (params.adaptive_target, params.adaptive_decay, seed)
        return SamplerStep("adaptive_p", arguments)
    return SamplerStep("dist", (seed,), draws=True)
