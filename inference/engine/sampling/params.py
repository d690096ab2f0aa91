"""The sampling parameters of a sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from inference.engine.errors import InvalidRequest
from inference.engine.sampling.thinking_budget import ThinkingBudget
from inference.engine.structured_output.grammar import Grammar

#: llama.cpp's default order; mirostat and adaptive-p choose the token, so they are
#: last.
DEFAULT_ORDER = (
    "penalties",
    "dry",
    "top_n_sigma",
    "top_k",
    "typical_p",
    "top_p",
    "min_p",
    "xtc",
    "temperature",
)
#: The bias of a token that must not be sampled.
BAN = -math.inf


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the tokens of one sequence are chosen, and when it ends.

    A neutral value switches a sampler off, and every default is neutral. The
    names are those of llama-server and vLLM, and mean what they mean there.

    ``temperature`` 0 is greedy. ``repeat_last_n`` is the window of the penalties: None
    is the newest 64 tokens for ``repeat_penalty`` and all for the others, -1 is all for
    each. ``samplers`` are the enabled ones, in order. ``logit_bias`` holds (token id,
    bias), ``logit_bias_text`` (text, bias): each token of the text gets it. ``seed``
    None is a random one.

    ``max_tokens`` None is limited by the context. Before ``min_tokens`` there is no end
    token and no stop. ``logprobs`` is how many of the most likely tokens are reported
    for each sampled one, ``prompt_logprobs`` for each of the prompt's; None is no
    logprobs at all. ``grammar`` is what the whole answer must match, ``thinking``
    limits the reasoning before it. ``control_tokens`` are the names of those that are
    part of the answer's text; others have no text.
    """

    temperature: float = 1.0
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    top_n_sigma: float = 0.0
    min_keep: int = 1
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    adaptive_target: float = -1.0
    adaptive_decay: float = 0.9
    repeat_penalty: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_last_n: int | None = None
    samplers: tuple[str, ...] = DEFAULT_ORDER
    logit_bias: tuple[tuple[int, float], ...] = ()
    logit_bias_text: tuple[tuple[str, float], ...] = ()
    seed: int | None = None
    max_tokens: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    include_stop_str_in_output: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    grammar: Grammar | None = None
    thinking: ThinkingBudget | None = None
    control_tokens: tuple[str, ...] = ()

    @property
    def is_greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return (
            self.temperature == 0
            and self.dynatemp_range == 0
            and "temperature" in self.samplers
        )

    @property
    def needs_preparation(self) -> bool:
        """Whether making the sampler takes too long for the middle of a step."""
        return self.dry_multiplier > 0 or self.grammar is not None

    def check_tokens(self, n_vocab: int) -> None:
        """Raise InvalidRequest if a token id is not in the vocabulary."""
        named = {
            "logit_bias": [token for token, _ in self.logit_bias],
            "stop_token_ids": self.stop_token_ids,
        }
        for param, tokens in named.items():
            for token in tokens:
                if not 0 <= token < n_vocab:
                    raise InvalidRequest(
                        f"{param} has the token id {token}; this model's are 0 to "
                        f"{n_vocab - 1}.",
                        param=param,
                    )
