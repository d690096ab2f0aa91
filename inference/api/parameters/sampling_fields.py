"""Kinds of values that only sampling has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from inference.api.declarations.fields import (
    Integer,
    ListOf,
    Number,
    Text,
    wrong_type,
)
from inference.api.errors import InvalidRequest, quote
from inference.engine.sampling.params import BAN, DEFAULT_ORDER

_MAX_BIASES = 1024
_BIAS = Number(-100, 100)
_TOKEN = Integer(0, 2**31 - 1)
_TOKEN_TEXT = Text(1, 100)
_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)

#: The orders that may be asked for: llama.cpp's names, and its server's others.
_SAMPLERS = {
    **{name.replace("_", ""): name for name in (*DEFAULT_ORDER, "adaptive_p")},
    "nucleus": "top_p",
    "temp": "temperature",
    "typ": "typical_p",
    "typp": "typical_p",
}
_MAX_BREAKERS = 8
#: llama.cpp cuts longer ones off.
_MAX_BREAKER_BYTES = 40


@dataclass(frozen=True, slots=True)
class LogitBias:
    """What is added to the logits of tokens; ``false`` bans them.

    OpenAI's object, or llama-server's array of pairs. A token is an id or a text,
    which stands for each of its tokens.
    """

    def parse(self, value: Any, path: str) -> tuple[tuple[int | str, float], ...]:
        """Return (token id or text, bias) pairs. Raises InvalidRequest."""
        if not isinstance(value, (dict, list)):
            raise wrong_type(path, "an object or an array of pairs", value)
        if len(value) > _MAX_BIASES:
            raise InvalidRequest(
                f"Invalid value for '{path}': at most {_MAX_BIASES} tokens, got "
                f"{len(value)}.",
                param=path,
            )
        if isinstance(value, dict):
            return tuple(
                _biased(_id_or_text(key), bias, f"{path}.{quote(key)}")
                for key, bias in value.items()
            )
        return tuple(
            _biased(*_pair(pair, f"{path}[{index}]"), f"{path}[{index}]")
            for index, pair in enumerate(value)
        )

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        bias = {"oneOf": [_BIAS.schema(), {"const": False}]}
        token = {"oneOf": [_TOKEN.schema(), _TOKEN_TEXT.schema()]}
        pair = {"type": "array", "prefixItems": [token, bias], "minItems": 2}
        return {
            "oneOf": [
                {
                    "type": "object",
                    "additionalProperties": bias,
                    "maxProperties": _MAX_BIASES,
                },
                {
                    "type": "array",
                    "items": {**pair, "maxItems": 2},
                    "maxItems": _MAX_BIASES,
                },
            ]
        }


def _id_or_text(key: str) -> int | str:
    """Return what a key of OpenAI's object means: digits are an id."""
    # Not every string of digits is a number that Python would read.
    return int(key) if len(key) <= 20 and _NUMBER.fullmatch(key) else key


def _pair(value: Any, path: str) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise wrong_type(path, "a pair of a token and its bias", value)
    return value[0], value[1]


def _biased(token: Any, bias: Any, path: str) -> tuple[int | str, float]:
    kind = _TOKEN_TEXT if isinstance(token, str) else _TOKEN
    return kind.parse(token, path), BAN if bias is False else _BIAS.parse(bias, path)


@dataclass(frozen=True, slots=True)
class SamplerOrder:
    """Which samplers apply, in which order."""

    def parse(self, value: Any, path: str) -> tuple[str, ...]:
        """Return the samplers by our names. Raises InvalidRequest."""
        names = _NAMES.parse(value, path)
        order = []
        for index, name in enumerate(names):
            sampler = _SAMPLERS.get(re.sub("[-_]", "", name.lower()))
            if sampler is None:
                raise InvalidRequest(
                    f"Invalid value for '{path}[{index}]': '{quote(name)}' is none of "
                    f"{', '.join(DEFAULT_ORDER)}, adaptive_p.",
                    param=f"{path}[{index}]",
                )
            order.append(sampler)
        if len(set(order)) < len(order):
            raise InvalidRequest(
                f"Invalid value for '{path}': a sampler comes twice.", param=path
            )
        return tuple(order)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return _NAMES.schema()


_NAMES = ListOf(Text(1, 32), 0, len(set(_SAMPLERS.values())))


@dataclass(frozen=True, slots=True)
class SequenceBreakers:
    """The texts at which DRY begins anew."""

    def parse(self, value: Any, path: str) -> tuple[str, ...]:
        """Return the texts. Raises InvalidRequest."""
        breakers = _BREAKERS.parse(value, path)
        for index, text in enumerate(breakers):
            if len(text.encode()) > _MAX_BREAKER_BYTES or "\0" in text:
                raise InvalidRequest(
                    f"Invalid value for '{path}[{index}]': it must have at most "
                    f"{_MAX_BREAKER_BYTES} bytes, and no NUL.",
                    param=f"{path}[{index}]",
                )
        return tuple(breakers)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return _BREAKERS.schema()


_BREAKERS = ListOf(Text(1, _MAX_BREAKER_BYTES), 1, _MAX_BREAKERS)
