"""Makes the engine's SamplingParams of a request's: applies defaults and checks.

A parameter that would have no effect is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.api.errors import BadRequest
from inference.api.parameters import logit_bias
from inference.engine.sampling.chain import SEEDS
from inference.engine.sampling.params import SamplingParams
from llm_manager.config.in_force import config

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.model_facts import ModelFacts

#: The parameters that a model's row may have defaults for.
_ROW = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty")
#: The samplers that mirostat does not replace.
_WITH_MIROSTAT = ("penalties", "dry", "temperature")
#: The parameters that enable each sampler.
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
    model: ModelFacts,
    max_tokens: int | None,
    choice: int,
    logprobs: int | None = None,
    prompt_logprobs: int | None = None,
) -> SamplingParams:
    """Return the parameters of one answer.

    The defaults are the model's own, else the configuration's. ``choice`` is the
    answer's number among those of one prompt. Raises BadRequest if parameters
    contradict each other.
    """
    asked = {name: _normal(name, value) for name, value in given.items()}
    _check_effects(asked)
    values = {**_defaults(model), **asked}
    if "repetition_penalty" in asked:
        values["repeat_penalty"] = 1.0
    seed = values.get("seed")
    values["seed"] = None if seed is None else (seed + choice) % SEEDS
    biases = logit_bias.pairs(values.pop("logit_bias", {}))
    params = SamplingParams(
        **values,
        logit_bias=tuple((t, bias) for t, bias in biases if isinstance(t, int)),
        logit_bias_text=tuple((t, bias) for t, bias in biases if isinstance(t, str)),
        max_tokens=max_tokens,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
    )
    _check_whole(params)
    return params


def _normal(name: str, value: Any) -> Any:
    """Return a value in the form of SamplingParams, which has one way to say "off"."""
    match name:
        case "top_k" | "top_n_sigma":
            return max(value, 0)
        case "min_keep":
            return max(value, 1)
        case "adaptive_target" if value < 0:
            return _NEUTRAL.adaptive_target
        case "seed" if value == -1:
            return None
        case "stop":
            return (value,) if isinstance(value, str) else tuple(value)
    return tuple(value) if isinstance(value, list) else value


def sampling_defaults(model: ModelFacts) -> dict[str, float]:
    """Return what holds where a request says nothing, of what a row may say."""
    neutral = {name: getattr(_NEUTRAL, name) for name in _ROW}
    return {**neutral, **_defaults(model)}


def _defaults(model: ModelFacts) -> dict[str, Any]:
    generation = config().generation
    defaults = {"temperature": generation.temperature, "top_p": generation.top_p}
    row = {name: getattr(model, name) for name in _ROW}
    return {**defaults, **{name: own for name, own in row.items() if own is not None}}


def _check_effects(asked: dict[str, Any]) -> None:
    """Refuse a parameter that has no effect because of another one."""
    allowed: Iterable[str] = asked.get("samplers", _SWITCHES)
    cause = "'samplers' leaves it out"
    if asked.get("mirostat"):
        if "samplers" in asked:
            raise _conflict("samplers", "'mirostat' has its own order")
        allowed = _WITH_MIROSTAT
        cause = "'mirostat' takes its place"
    for sampler, switches in _SWITCHES.items():
        for name in switches:
            neutral = getattr(_NEUTRAL, name)
            if sampler not in allowed and asked.get(name, neutral) != neutral:
                raise _conflict(name, cause)
    if asked.get("repeat_penalty", 1) != 1 and asked.get("repetition_penalty", 1) != 1:
        raise _conflict("repetition_penalty", "'repeat_penalty' is the same; send one")


def _check_whole(params: SamplingParams) -> None:
    """Refuse contradictions, defaults included."""
    if params.is_greedy:
        for name in ("mirostat", "adaptive_target"):
            if getattr(params, name) > 0:
                raise _conflict(name, "it needs a 'temperature' above 0")
    if params.max_tokens is not None and params.min_tokens > params.max_tokens:
        raise _conflict(
            "min_tokens", f"'max_tokens' is {params.max_tokens}, which is less"
        )


def _conflict(name: str, reason: str) -> BadRequest:
    return BadRequest(f"'{name}' cannot be used: {reason}.", param=name)
