"""Filling in the middle: a prompt of what comes before and what comes after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class InfillTokens:
    """A vocabulary's tokens before each part; ``bos`` is None if none comes first."""

    prefix: int
    suffix: int
    middle: int
    bos: int | None = None


def infill_prompt(
    tokens: InfillTokens | None, before: Sequence[int], after: Sequence[int]
) -> list[int]:
    """Return the prompt after which a model writes what comes between.

    Prefix, suffix, middle: the order of llama-server's /infill and of the models'
    own cards. Raises InvalidRequest for a vocabulary without such tokens.
    """
    if tokens is None:
        raise InvalidRequest(
            "The model's vocabulary has no tokens to fill in a middle, so 'suffix' "
            "cannot be had.",
            param="suffix",
        )
    bos = [] if tokens.bos is None else [tokens.bos]
    begin = [*bos, tokens.prefix, *before]
    return [*begin, tokens.suffix, *after, tokens.middle]
