"""Sampling parameters: what a request may say, and what holds where it does not.

They are OpenAI's, and llama-server's and vLLM's under the names that their clients
send. A parameter that would have no effect is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings

from inference.api.declarations.fields import (
    Boolean,
    Field,
    Integer,
    ListOf,
    Number,
    Text,
)
from inference.api.declarations.records import Either
from inference.api.errors import InvalidRequest
from inference.api.parameters.sampling_fields import (
    LogitBias,
    SamplerOrder,
    SequenceBreakers,
)
from inference.engine.sampling.chain import SEEDS
from inference.engine.sampling.params import DEFAULT_ORDER, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import Model

MAX_TOKENS = 2**31 - 1
MAX_STOPS = 16
_MAX_STOP_CHARS = 1000
_MAX_STOP_TOKENS = 128
_WINDOW = Integer(-1, 1_000_000)
_OWN = "Default: the model's own, else the configuration's."

#: Members that mean the same in both kinds of completion, and what they do.
_PARAMETERS: dict[str, tuple[Field, str]] = {
    "temperature": (
        Number(0, 2),
        f"0 takes the likeliest token each time. {_OWN}",
    ),
    "top_p": (
        Number(0, 1, above_minimum=True),
        f"Keeps the likeliest tokens of this total probability. {_OWN}",
    ),
    "presence_penalty": (
        Number(-2, 2),
        "Subtracted from the logits of tokens that the answer has already.",
    ),
    "frequency_penalty": (
        Number(-2, 2),
        "Subtracted once for each time that the answer has the token already.",
    ),
    "logit_bias": (
        LogitBias(),
        "Added to the logits of these tokens, which are ids or texts; false bans them. "
        "A text stands for each of its tokens.",
    ),
    "seed": (
        Integer(-(2**63), 2**63 - 1),
        "The same request with the same seed samples alike. Answer i of several has "
        "the seed plus i. Default, and -1: a fresh one.",
    ),
    "stop": (
        Either(Text(1, _MAX_STOP_CHARS), MAX_STOPS),
        "Texts that end the answer; they are no part of it.",
    ),
    "stop_token_ids": (
        ListOf(Integer(0, MAX_TOKENS), 0, _MAX_STOP_TOKENS),
        "Tokens that end the answer, beside the model's own.",
    ),
    "include_stop_str_in_output": (
        Boolean(),
        "Let the answer end with the stop text. Default: false.",
    ),
    "min_tokens": (
        Integer(0, MAX_TOKENS),
        "The answer has at least so many tokens: no end and no stop comes before.",
    ),
    "ignore_eos": (Boolean(), "Never let the model end. Default: false."),
    "top_k": (Integer(-1, 1_000_000), "Keeps so many tokens; 0 or -1 keeps all."),
    "min_p": (
        Number(0, 1),
        "Keeps tokens of at least this share of the likeliest one's probability.",
    ),
    "typical_p": (
        Number(0, 1, above_minimum=True),
        "Keeps the most typical tokens of this total probability; 1 is off.",
    ),
    "top_n_sigma": (
        Number(-1, 100),
        "Keeps tokens within so many standard deviations of the largest logit; 0 or -1 "
        "is off.",
    ),
    "min_keep": (
        Integer(0, 1_000_000),
        "top_p, min_p, typical_p and xtc keep at least so many tokens.",
    ),
    "dynatemp_range": (
        Number(0, 2),
        "The temperature goes up and down by so much, with the model's uncertainty.",
    ),
    "dynatemp_exponent": (
        Number(0, 10),
        "How the uncertainty makes the temperature. Default: 1.",
    ),
    "xtc_probability": (
        Number(0, 1),
        "How often XTC takes the likeliest tokens away; 0 is off.",
    ),
    "xtc_threshold": (
        Number(0, 1),
        "XTC takes away all tokens above this probability but the least likely of "
        "them; above 0.5 it is off. Default: 0.1.",
    ),
    "dry_multiplier": (
        Number(0, 100),
        "How strongly DRY penalises what would go on with a repetition; 0 is off.",
    ),
    "dry_base": (
        Number(1, 100),
        "By what the penalty grows with each repeated token. Default: 1.75.",
    ),
    "dry_allowed_length": (
        Integer(0, 1_000_000),
        "Repetitions up to this length cost nothing. Default: 2.",
    ),
    "dry_penalty_last_n": (
        _WINDOW,
        "The newest tokens in which DRY looks; -1 is all, 0 is off. Default: 64.",
    ),
    "dry_sequence_breakers": (
        SequenceBreakers(),
        'Texts that end a repetition. Default: line break, ":", "\\"", "*".',
    ),
    "mirostat": (
        Integer(0, 2),
        "Steers the surprise, by version 1 or 2 of the algorithm, in place of "
        "truncation; 0 is off.",
    ),
    "mirostat_tau": (Number(0, 20), "The surprise to aim at, in bits. Default: 5."),
    "mirostat_eta": (Number(0, 1), "How fast mirostat learns. Default: 0.1."),
    "adaptive_target": (
        Number(-1, 1),
        "The probability that sampled tokens shall have on average; negative is off.",
    ),
    "adaptive_decay": (
        Number(0, 0.99),
        "How much of the average is from earlier tokens. Default: 0.9.",
    ),
    "repeat_penalty": (
        Number(0, 10, above_minimum=True),
        "Divides the logits of tokens that came lately, prompt included; 1 is off.",
    ),
    "repetition_penalty": (
        Number(0, 10, above_minimum=True),
        "The same for all tokens that came, prompt included; 1 is off.",
    ),
    "repeat_last_n": (
        _WINDOW,
        "The newest tokens that the penalties count; -1 is all, 0 is off. Default: 64 "
        "for repeat_penalty, all for presence_penalty and frequency_penalty.",
    ),
    "samplers": (
        SamplerOrder(),
        "The samplers that apply, in their order. Default: " + ", ".join(DEFAULT_ORDER),
    ),
}
_OPENAIS = {
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "seed",
    "stop",
}
FIELDS: dict[str, Field] = {name: kind for name, (kind, _) in _PARAMETERS.items()}
HELP = {
    name: text if name in _OPENAIS else f"{text} Not in OpenAI's API."
    for name, (_, text) in _PARAMETERS.items()
}
#: What a model's row may have a default of.
_ROW = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty")
#: The samplers that mirostat leaves in place.
_WITH_MIROSTAT = ("penalties", "dry", "temperature")
#: The parameters that switch each sampler on.
_SWITCHES = {
    "penalties": (
        "repeat_penalty",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
    ),
    "dry": ("dry_multiplier",),
    "top_n_sigma": ("top_n_sigma",),
    "top_k": ("top_k",),
    "typical_p": ("typical_p",),
    "top_p": ("top_p",),
    "min_p": ("min_p",),
    "xtc": ("xtc_probability",),
    "temperature": ("temperature", "dynatemp_range"),
    "adaptive_p": ("adaptive_target",),
}
_NEUTRAL = SamplingParams()


def sampling_params(
    given: dict[str, Any],
    *,
    model: Model,
    max_tokens: int,
    choice: int,
    logprobs: int | None = None,
    prompt_logprobs: int | None = None,
) -> SamplingParams:
    """Return the parameters of one answer.

    What the request does not say the model's row says, and else the
    configuration; ``choice`` tells the answers of one prompt apart. Raises
    InvalidRequest where parameters contradict each other.
    """
    asked = {name: _normal(name, value) for name, value in given.items()}
    _check_effects(asked)
    values = {**_defaults(model), **asked}
    if "repetition_penalty" in asked:
        values["repeat_penalty"] = 1.0
    seed = values.get("seed")
    values["seed"] = None if seed is None else (seed + choice) % SEEDS
    biases = values.pop("logit_bias", ())
    params = SamplingParams(
        **values,
        logit_bias=tuple(pair for pair in biases if isinstance(pair[0], int)),
        logit_bias_text=tuple(pair for pair in biases if isinstance(pair[0], str)),
        max_tokens=max_tokens,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
    )
    _check_whole(params)
    return params


def _normal(name: str, value: Any) -> Any:
    """Return a value as SamplingParams has it: with one way to say "off"."""
    match name:
        case "top_k" | "top_n_sigma":
            return max(value, 0)
        case "min_keep":
            return max(value, 1)
        case "adaptive_target" if value < 0:
            return _NEUTRAL.adaptive_target
        case "seed" if value == -1:
            return None
        case "stop_token_ids":
            return tuple(value)
    return value


def _defaults(model: Model) -> dict[str, Any]:
    config = settings.CONFIG
    defaults = {
        "temperature": config.generation.temperature,
        "top_p": config.generation.top_p,
    }
    row = {name: getattr(model, name) for name in _ROW}
    return {**defaults, **{name: own for name, own in row.items() if own is not None}}


def _check_effects(asked: dict[str, Any]) -> None:
    """Refuse a parameter that another one leaves without effect."""
    allowed: Iterable[str] = asked.get("samplers", _SWITCHES)
    cause = "'samplers' leaves it out"
    if asked.get("mirostat"):
        if "samplers" in asked:
            raise _refusal("samplers", "'mirostat' has an order of its own")
        allowed = _WITH_MIROSTAT
        cause = "'mirostat' takes its place"
    for sampler, switches in _SWITCHES.items():
        for name in switches:
            neutral = getattr(_NEUTRAL, name)
            if sampler not in allowed and asked.get(name, neutral) != neutral:
                raise _refusal(name, cause)
    if asked.get("repeat_penalty", 1) != 1 and asked.get("repetition_penalty", 1) != 1:
        raise _refusal("repetition_penalty", "'repeat_penalty' is the same; send one")


def _check_whole(params: SamplingParams) -> None:
    """Refuse what contradicts itself, the defaults included."""
    if params.is_greedy:
        for name in ("mirostat", "adaptive_target"):
            if getattr(params, name) > 0:
                raise _refusal(name, "it needs a 'temperature' above 0")
    if params.max_tokens is not None and params.min_tokens > params.max_tokens:
        raise _refusal(
            "min_tokens", f"'max_tokens' is {params.max_tokens}, which is less"
        )


def _refusal(name: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"'{name}' cannot be had: {reason}.", param=name)
