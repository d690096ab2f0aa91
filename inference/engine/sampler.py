"""The sampler chain of a request, as data: which samplers, in which order.

The order is llama.cpp's own default. Penalties see output tokens only, as
OpenAI's do: ``repeat`` the newest 64, ``penalty`` all that the context holds.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.engine.sampling_params import SamplingParams

_SEED_BITS = 32


@dataclass(frozen=True, slots=True)
class SamplerStep:
    """One sampler of the chain: its name and the arguments of its constructor."""

    name: str
    arguments: tuple[float | int, ...] = ()


def sampler_steps(
    params: SamplingParams, *, n_vocab: int, n_ctx: int
) -> list[SamplerStep]:
    """Return the chain that does what ``params`` ask; neutral samplers are left out."""
    steps = []
    if params.logit_bias:
        steps.append(SamplerStep("logit_bias"))
    if params.repeat_penalty != 1.0:
        arguments = (n_vocab, params.penalty_last_n, params.repeat_penalty, 0.0, 0.0)
        steps.append(SamplerStep("penalties", arguments))
    if params.frequency_penalty or params.presence_penalty:
        penalties = (params.frequency_penalty, params.presence_penalty)
        steps.append(SamplerStep("penalties", (n_vocab, n_ctx, 1.0, *penalties)))
    if params.temperature == 0:
        return [*steps, SamplerStep("greedy")]
    if params.top_k > 0:
        steps.append(SamplerStep("top_k", (params.top_k,)))
    if params.top_p < 1:
        steps.append(SamplerStep("top_p", (params.top_p, 1)))
    if params.min_p > 0:
        steps.append(SamplerStep("min_p", (params.min_p, 1)))
    seed = secrets.randbits(_SEED_BITS) if params.seed is None else params.seed
    return [
        *steps,
        SamplerStep("temp", (params.temperature,)),
        SamplerStep("dist", (seed % 2**_SEED_BITS,)),
    ]
