"""The prompts of a text completion request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference.openai.errors import InvalidRequest
from inference.openai.fields import Integer, ListOf, Text, wrong_type
from inference.openai.messages import check_sizes

MAX_PROMPTS = 100
#: What a token id takes of the limits: about the text that it stands for.
_TOKEN_BYTES = 4
_TOKEN = Integer(0, 2**31 - 1)
_TOKENS = ListOf(_TOKEN, min_items=1)
_EXPECTED = "a string, an array of strings, or an array of token ids"


@dataclass(frozen=True, slots=True)
class Prompts:
    """One prompt or several, each a text or an array of token ids."""

    def parse(self, value: Any, path: str) -> tuple[str | list[int], ...]:
        """Return the prompts. Raises InvalidRequest."""
        if isinstance(value, list) and not value:
            raise InvalidRequest(
                f"Invalid value for '{path}': it must not be empty.", param=path
            )
        prompts = self._parse_each(value, path)
        if len(prompts) > MAX_PROMPTS:
            raise InvalidRequest(
                f"Too many prompts: {len(prompts)}, and at most {MAX_PROMPTS} are "
                "allowed.",
                param=path,
                code="too_many_prompts",
            )
        check_sizes({where: _size(prompt) for where, prompt in prompts.items()}, path)
        return tuple(prompts.values())

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        texts = ListOf(Text(), 1, MAX_PROMPTS)
        tokens = ListOf(_TOKENS, 1, MAX_PROMPTS)
        kinds = (Text(), texts, _TOKENS, tokens)
        return {"anyOf": [kind.schema() for kind in kinds]}

    def _parse_each(self, value: Any, path: str) -> dict[str, str | list[int]]:
        """Return each prompt under its path."""
        if isinstance(value, str):
            return {path: Text().parse(value, path)}
        if not isinstance(value, list):
            raise wrong_type(path, _EXPECTED, value)
        if isinstance(value[0], str):
            kind: Text | ListOf = Text()
        elif isinstance(value[0], list):
            kind = _TOKENS
        elif type(value[0]) is int:
            return {path: _TOKENS.parse(value, path)}
        else:
            raise wrong_type(f"{path}[0]", "a string or a token id", value[0])
        return {
            f"{path}[{index}]": kind.parse(item, f"{path}[{index}]")
            for index, item in enumerate(value)
        }


def _size(prompt: str | list[int]) -> int:
    if isinstance(prompt, str):
        return len(prompt.encode())
    return len(prompt) * _TOKEN_BYTES
