"""The sampling parameters of OpenAI, llama-server and vLLM, under their own names."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, Tag

from inference.api.body.request_body import Body
from inference.api.parameters.logit_bias import LogitBias
from inference.api.parameters.sampler_order import SamplerOrder, SequenceBreakers
from inference.api.parameters.value_types import MAX_TOKENS, Between, by_json_type

_MAX_STOPS = 16

_StopText = Annotated[str, Field(min_length=1, max_length=1000)]
_Stop = Annotated[
    Annotated[_StopText, Tag("string")]
    | Annotated[list[_StopText], Field(max_length=_MAX_STOPS), Tag("array")],
    by_json_type("a string or an array of strings"),
]
_TokenId = Annotated[int, Between(0, MAX_TOKENS)]
_Count = Annotated[int, Between(0, 1_000_000)]
#: A number of newest tokens; -1 is all.
_Window = Annotated[int, Between(-1, 1_000_000)]
_Probability = Annotated[float, Between(0, 1)]


class SamplingParameters(Body):
    """How the tokens of an answer are sampled, and what ends it; None is not given."""

    temperature: Annotated[float, Between(0, 2)] | None = None
    """0 always takes the most likely token. Default: the model's own, else the
    configuration's."""
    top_p: _Probability | None = None
    """Keeps the most likely tokens with this total probability, at least one: 0 always
    takes the most likely. Default: the model's
    own, else the configuration's."""
    presence_penalty: Annotated[float, Between(-2, 2)] | None = None
    """Subtracted from the logits of tokens that the answer already has."""
    frequency_penalty: Annotated[float, Between(-2, 2)] | None = None
    """Subtracted from a token's logit once for each time that the answer already has
    it."""
    logit_bias: LogitBias | None = None
    """Added to the logits of these tokens, given as ids or texts; false bans a token. A
    text stands for each of its tokens."""
    seed: Annotated[int, Between(-(2**63), 2**63 - 1)] | None = None
    """Requests with the same seed sample the same tokens. Answer i of several uses seed
    + i. Default and -1: a random seed."""
    stop: _Stop | None = None
    """Texts that end the answer. They are not part of it."""

    # The rest are not OpenAI's.
    stop_token_ids: Annotated[list[_TokenId], Field(max_length=128)] | None = None
    """Tokens that end the answer, besides the model's own end tokens. Not in OpenAI's
    API."""
    include_stop_str_in_output: bool | None = None
    """Include the stop text in the answer. Default: false. Not in OpenAI's API."""
    min_tokens: Annotated[int, Between(0, MAX_TOKENS)] | None = None
    """The minimum number of tokens of the answer: no end token and no stop text before.
    Not in OpenAI's API."""
    ignore_eos: bool | None = None
    """Ban the model's end tokens. Default: false. Not in OpenAI's API."""
    top_k: _Window | None = None
    """Keeps this many of the most likely tokens; 0 or -1 keeps all. Not in OpenAI's
    API."""
    min_p: _Probability | None = None
    """Keeps tokens with at least this share of the most likely token's probability. Not
    in OpenAI's API."""
    typical_p: Annotated[float, Between(0, 1, above=True)] | None = None
    """Keeps the most typical tokens with this total probability; 1 is off. Not in
    OpenAI's API."""
    top_n_sigma: Annotated[float, Between(-1, 100)] | None = None
    """Keeps tokens within this many standard deviations of the largest logit; 0 or -1
    is off. Not in OpenAI's API."""
    min_keep: _Count | None = None
    """top_p, min_p, typical_p and xtc keep at least this many tokens. Not in OpenAI's
    API."""
    dynatemp_range: Annotated[float, Between(0, 2)] | None = None
    """The temperature varies by up to this much, with the entropy of the distribution.
    Not in OpenAI's API."""
    dynatemp_exponent: Annotated[float, Between(0, 10)] | None = None
    """How entropy maps to the dynamic temperature. Default: 1. Not in OpenAI's API."""
    xtc_probability: _Probability | None = None
    """The probability that XTC removes the most likely tokens; 0 is off. Not in
    OpenAI's API."""
    xtc_threshold: _Probability | None = None
    """XTC removes all tokens above this probability except the least likely of them;
    above 0.5 it is off. Default: 0.1. Not in OpenAI's API."""
    dry_multiplier: Annotated[float, Between(0, 100)] | None = None
    """How strongly DRY penalises tokens that would continue a repetition; 0 is off. Not
    in OpenAI's API."""
    dry_base: Annotated[float, Between(1, 100)] | None = None
    """The factor by which the penalty grows with each repeated token. Default: 1.75.
    Not in OpenAI's API."""
    dry_allowed_length: _Count | None = None
    """Repetitions up to this length are not penalised. Default: 2. Not in OpenAI's
    API."""
    dry_penalty_last_n: _Window | None = None
    """How many of the newest tokens DRY searches; -1 is all, 0 is off. Default: 64. Not
    in OpenAI's API."""
    dry_sequence_breakers: SequenceBreakers | None = None
    """Texts that end a repetition. Default: line break, ":", "\\"", "*". Not in
    OpenAI's API."""
    mirostat: Annotated[int, Between(0, 2)] | None = None
    """Controls the surprise of tokens with version 1 or 2 of the algorithm, instead of
    truncation; 0 is off. Not in OpenAI's API."""
    mirostat_tau: Annotated[float, Between(0, 20)] | None = None
    """The target surprise, in bits. Default: 5. Not in OpenAI's API."""
    mirostat_eta: _Probability | None = None
    """The learning rate of mirostat. Default: 0.1. Not in OpenAI's API."""
    adaptive_target: Annotated[float, Between(-1, 1)] | None = None
    """The average probability that adaptive-p aims at; negative is off. Not in OpenAI's
    API."""
    adaptive_decay: Annotated[float, Between(0, 0.99)] | None = None
    """How much earlier tokens weigh in adaptive-p's average. Default: 0.9. Not in
    OpenAI's API."""
    repeat_penalty: Annotated[float, Between(0, 10, above=True)] | None = None
    """Divides the logits of recent tokens, including the prompt's; 1 is off. Not in
    OpenAI's API."""
    repetition_penalty: Annotated[float, Between(0, 10, above=True)] | None = None
    """Like repeat_penalty, for all earlier tokens, including the prompt's; 1 is off.
    Not in OpenAI's API."""
    repeat_last_n: _Window | None = None
    """How many of the newest tokens the penalties count; -1 is all, 0 is off. Default:
    64 for repeat_penalty, all for presence_penalty and frequency_penalty. Not in
    OpenAI's API."""
    samplers: SamplerOrder | None = None
    """The enabled samplers, in their order. Default: penalties, dry, top_n_sigma,
    top_k, typical_p, top_p, min_p, xtc, temperature. Not in OpenAI's API."""

    def sampling(self) -> dict[str, Any]:
        """Return the sampling parameters that are given, by name."""
        return {
            name: value
            for name in SamplingParameters.model_fields
            if (value := getattr(self, name)) is not None
        }
