"""What a request asks for, as limits count it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounts.models.limit import LimitKind

if TYPE_CHECKING:
    from registry.models import Model
    from registry.prices import Prices


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a request; ``prompt`` includes those that were ``cached``."""

    prompt: int = 0
    cached: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        """Those of prompt and answer."""
        return self.prompt + self.output


@dataclass(frozen=True, slots=True)
class Demand:
    """A request, as limits count it: ``requests`` is one for each answer to a prompt.

    ``tokens`` are an estimate, of which the prompt has ``least`` for certain.
    """

    requests: int = 1
    model: Model | None = None
    tokens: Tokens = Tokens()
    least: int = 0


def used_of(kind: LimitKind, tokens: Tokens, prices: Prices) -> int:
    """Return what tokens count by a kind of limit that counts tokens or money."""
    if kind == LimitKind.MONEY_MONTH:
        return prices.cost(
            prompt=tokens.prompt, cached=tokens.cached, output=tokens.output
        )
    return tokens.total
