"""The prompts of a text completion request, and the inputs of embeddings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from inference.api.body.blocked_patterns import check_patterns
from inference.api.body.text_limits import check_sizes
from inference.api.parameters.value_types import Between, MaxItems, NonEmpty, Text

_Prompts = str | list[str] | list[int] | list[list[int]]

MAX_PROMPTS = 100
#: OpenAI's limit.
MAX_INPUTS = 2048
#: Bytes that a token id counts for: about as many as its text has.
_TOKEN_BYTES = 4

TokenId = Annotated[int, Between(0, 2**31 - 1)]
#: A prompt as token ids. There may be millions: the first error is reported.
Tokens = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]


def _kind(value: Any) -> str | None:
    """Return the tag of the union's alternative that a value belongs to."""
    match value:
        case str():
            return "text"
        case [first, *_] if type(first) is int:
            return "tokens"
        case [list(), *_]:
            return "lists of tokens"
        case list():
            return "texts"
    return None


_BY_KIND = Discriminator(
    _kind,
    custom_error_type="wrong_type",
    custom_error_message="a string, an array of strings, or an array of token ids",
)


Prompts = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[
        list[Text], Field(min_length=1), MaxItems(MAX_PROMPTS, "prompts"), Tag("texts")
    ]
    | Annotated[Tokens, Tag("tokens")]
    | Annotated[
        list[Tokens],
        Field(min_length=1),
        MaxItems(MAX_PROMPTS, "prompts"),
        Tag("lists of tokens"),
    ],
    _BY_KIND,
]
#: The inputs of embeddings: the same, but no text may be empty.
Inputs = Annotated[
    Annotated[NonEmpty, Tag("text")]
    | Annotated[
        list[NonEmpty],
        Field(min_length=1),
        MaxItems(MAX_INPUTS, "inputs"),
        Tag("texts"),
    ]
    | Annotated[Tokens, Tag("tokens")]
    | Annotated[
        list[Tokens],
        Field(min_length=1),
        MaxItems(MAX_INPUTS, "inputs"),
        Tag("lists of tokens"),
    ],
    _BY_KIND,
]


def by_path(prompts: _Prompts, path: str) -> dict[str, str | list[int]]:
    """Return each prompt under its path.

    ``path`` is that of the member. Raises BadRequest if they are too large or have a
    blocked pattern.
    """
    match prompts:
        case str() | [int(), *_]:
            each: dict[str, Any] = {path: prompts}
        case _:
            each = {f"{path}[{index}]": one for index, one in enumerate(prompts)}
    check_sizes({where: size_of(prompt) for where, prompt in each.items()}, path)
    check_patterns(each)
    return each


def size_of(prompt: str | list[int]) -> int:
    """Return the size of a prompt in bytes, as the limits count it."""
    if isinstance(prompt, str):
        return len(prompt.encode())
    return len(prompt) * _TOKEN_BYTES
