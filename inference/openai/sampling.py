"""Sampling parameters: what a request may say, and what holds where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from inference.engine.sampling_params import SamplingParams
from inference.openai.errors import InvalidRequest
from inference.openai.fields import Field, Integer, Number, Text, quote, wrong_type
from inference.openai.records import Either

if TYPE_CHECKING:
    from registry.models import Model

MAX_TOKENS = 2**31 - 1
MAX_STOPS = 16
_MAX_STOP_CHARS = 1000
_MAX_BIASES = 1024
#: llama.cpp's seeds have 32 bits, and the largest asks it for a random one.
_SEEDS = 2**32 - 1
_BIAS = Number(-100, 100)
_TOKEN = Integer(0, 2**31 - 1)


@dataclass(frozen=True, slots=True)
class LogitBias:
    """An object from token ids, as strings, to what is added to their logits."""

    def parse(self, value: Any, path: str) -> tuple[tuple[int, float], ...]:
        """Return (token, bias) pairs. Raises InvalidRequest."""
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        if len(value) > _MAX_BIASES:
            raise InvalidRequest(
                f"Invalid value for '{path}': at most {_MAX_BIASES} tokens, got "
                f"{len(value)}.",
                param=path,
            )
        return tuple(
            (self._token(key, path), _BIAS.parse(bias, f"{path}.{quote(key)}"))
            for key, bias in value.items()
        )

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {
            "type": "object",
            "propertyNames": {"pattern": "^[0-9]{1,10}$"},
            "additionalProperties": _BIAS.schema(),
            "maxProperties": _MAX_BIASES,
        }

    def _token(self, key: str, path: str) -> int:
        if not (key.isascii() and key.isdecimal() and len(key) <= 10):
            raise InvalidRequest(
                f"Invalid value for '{path}': '{quote(key)}' is no token id.",
                param=path,
            )
        return _TOKEN.parse(int(key), f"{path}.{key}")


#: Members that mean the same in both kinds of completion.
FIELDS: dict[str, Field] = {
    "temperature": Number(0, 2),
    "top_p": Number(0, 1, above_minimum=True),
    "top_k": Integer(-1, 1_000_000),
    "min_p": Number(0, 1),
    "repeat_penalty": Number(0, 10, above_minimum=True),
    "presence_penalty": Number(-2, 2),
    "frequency_penalty": Number(-2, 2),
    "logit_bias": LogitBias(),
    "seed": Integer(-(2**63), 2**63 - 1),
    "stop": Either(Text(1, _MAX_STOP_CHARS), MAX_STOPS),
}
HELP = {
    "temperature": "0 takes the likeliest token each time. Default: the model's own, "
    "else the configuration's.",
    "top_p": "Keeps the likeliest tokens of this total probability. Default: the "
    "model's own, else the configuration's.",
    "top_k": "Keeps this many of the likeliest tokens; 0 or -1 keeps all. Not in "
    "OpenAI's API.",
    "min_p": "Keeps tokens of at least this share of the likeliest one's "
    "probability. Not in OpenAI's API.",
    "repeat_penalty": "Divides the logits of tokens that came lately; 1 is off. Not "
    "in OpenAI's API.",
    "presence_penalty": "Subtracted from the logits of tokens that came lately.",
    "frequency_penalty": "Subtracted once for each time that a token came lately.",
    "logit_bias": "Added to the logits of these token ids.",
    "seed": "The same request with the same seed samples alike. Answer i of several "
    "has the seed plus i. Default: a fresh one.",
    "stop": "Texts that end the answer; they are no part of it.",
}


def sampling_params(
    given: dict[str, Any], *, model: Model, max_tokens: int, choice: int
) -> SamplingParams:
    """Return the parameters of one answer.

    What the request does not say the model's row says, and else the
    configuration; ``choice`` tells the answers of one prompt apart.
    """
    config = settings.CONFIG
    seed = given.get("seed")
    return SamplingParams(
        temperature=_first(
            given.get("temperature"),
            model.temperature,
            config["generation.temperature"],
        ),
        top_p=_first(given.get("top_p"), model.top_p, config["generation.top_p"]),
        top_k=max(_first(given.get("top_k"), model.top_k, 0), 0),
        min_p=_first(given.get("min_p"), model.min_p, 0.0),
        repeat_penalty=_first(given.get("repeat_penalty"), model.repeat_penalty, 1.0),
        presence_penalty=given.get("presence_penalty", 0.0),
        frequency_penalty=given.get("frequency_penalty", 0.0),
        logit_bias=given.get("logit_bias", ()),
        seed=None if seed is None else (seed + choice) % _SEEDS,
        max_tokens=max_tokens,
        stop=given.get("stop", ()),
    )


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)
