"""The member ``logit_bias``: what is added to the logits of tokens."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, Tag, WithJsonSchema

from inference.api.body.validation_errors import broken_rule, wrong_type
from inference.api.parameters.value_types import Between, by_json_type
from inference.engine.sampling.params import BAN

_MAX_BIASES = 1024
_MAX_TOKEN = 2**31 - 1
_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)


def _ban(value: bool) -> float:  # noqa: FBT001
    if value:
        raise broken_rule("it must be a number, or false, which bans the token")
    return BAN


def _id_or_text(key: str) -> int | str:
    """Return the token that a key of OpenAI's object names: digits are an id."""
    # Python does not parse every string of digits: its length is limited.
    if len(key) > 20 or not _NUMBER.fullmatch(key):
        return key
    token = int(key)
    if not 0 <= token <= _MAX_TOKEN:
        raise broken_rule(f"a token id must be between 0 and {_MAX_TOKEN}")
    return token


def _pair(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) != 2:
        raise wrong_type("a pair of a token and its bias")
    return tuple(value)


_Bias = Annotated[
    Annotated[float, Between(-100, 100), Tag("number")]
    | Annotated[
        bool, AfterValidator(_ban), WithJsonSchema({"const": False}), Tag("boolean")
    ],
    by_json_type("a number or false"),
]
_TokenText = Annotated[str, Field(min_length=1, max_length=100)]
_Token = Annotated[
    Annotated[int, Between(0, _MAX_TOKEN), Tag("number")]
    | Annotated[_TokenText, Tag("string")],
    by_json_type("a token id or a text"),
]
#: OpenAI's object, or llama-server's array of pairs. A token is an id, or a text, which
#: stands for each of its tokens.
LogitBias = Annotated[
    Annotated[
        dict[Annotated[_TokenText, AfterValidator(_id_or_text)], _Bias],
        Field(max_length=_MAX_BIASES),
        Tag("object"),
    ]
    | Annotated[
        list[Annotated[tuple[_Token, _Bias], BeforeValidator(_pair)]],
        Field(max_length=_MAX_BIASES),
        Tag("array"),
    ],
    by_json_type("an object or an array of pairs"),
]


def pairs(biases: LogitBias) -> list[tuple[int | str, float]]:
    """Return (token id or text, bias) pairs."""
    return list(biases.items() if isinstance(biases, dict) else biases)
