"""The prompts of a text completion request, and the inputs of embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference.api.declarations.fields import Integer, ListOf, Text, wrong_type
from inference.api.errors import InvalidRequest
from inference.api.text_limits import check_sizes

MAX_PROMPTS = 100
#: What a token id takes of the limits: about the text that it stands for.
_TOKEN_BYTES = 4
_MAX_TOKEN = 2**31 - 1
_EXPECTED = "a string, an array of strings, or an array of token ids"


@dataclass(frozen=True, slots=True)
class Tokens:
    """A prompt as token ids."""

    def parse(self, value: Any, path: str) -> list[int]:
        """Return the token ids. Raises InvalidRequest."""
        if not isinstance(value, list):
            raise wrong_type(path, "an array of token ids", value)
        if not value:
            raise _empty(path)
        # Before each is looked at: there may be millions.
        check_sizes({path: len(value) * _TOKEN_BYTES}, path)
        for index, token in enumerate(value):
            if type(token) is not int or not 0 <= token <= _MAX_TOKEN:
                _TOKEN.parse(token, f"{path}[{index}]")
        return value

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "array", "items": _TOKEN.schema(), "minItems": 1}


_TOKEN = Integer(0, _MAX_TOKEN)


@dataclass(frozen=True, slots=True)
class Prompts:
    """One prompt or several, each a text or an array of token ids."""

    max_items: int = MAX_PROMPTS
    #: Of a text, in characters.
    min_length: int = 0

    def parse(self, value: Any, path: str) -> tuple[str | list[int], ...]:
        """Return the prompts. Raises InvalidRequest."""
        return tuple(self.by_path(value, path).values())

    def by_path(self, value: Any, path: str) -> dict[str, str | list[int]]:
        """Return each prompt under its path. Raises InvalidRequest."""
        prompts = self._parse_each(value, path)
        check_sizes({where: size_of(prompt) for where, prompt in prompts.items()}, path)
        return prompts

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        text = Text(self.min_length)
        texts = ListOf(text, 1, self.max_items)
        tokens = ListOf(Tokens(), 1, self.max_items)
        kinds = (text, texts, Tokens(), tokens)
        return {"anyOf": [kind.schema() for kind in kinds]}

    def _parse_each(self, value: Any, path: str) -> dict[str, str | list[int]]:
        text = Text(self.min_length)
        if isinstance(value, str):
            return {path: text.parse(value, path)}
        if not isinstance(value, list):
            raise wrong_type(path, _EXPECTED, value)
        if not value:
            raise _empty(path)
        if type(value[0]) is int:
            return {path: Tokens().parse(value, path)}
        if not isinstance(value[0], (str, list)):
            raise wrong_type(f"{path}[0]", "a string or a token id", value[0])
        if len(value) > self.max_items:
            raise InvalidRequest(
                f"Too many {path}s: {len(value)}, and at most {self.max_items} are "
                "allowed.",
                param=path,
                code=f"too_many_{path}s",
            )
        kind: Text | Tokens = text if isinstance(value[0], str) else Tokens()
        return {
            f"{path}[{index}]": kind.parse(item, f"{path}[{index}]")
            for index, item in enumerate(value)
        }


def _empty(path: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid value for '{path}': it must not be empty.", param=path
    )


def size_of(prompt: str | list[int]) -> int:
    """Return what a prompt takes of the limits, in bytes."""
    if isinstance(prompt, str):
        return len(prompt.encode())
    return len(prompt) * _TOKEN_BYTES
