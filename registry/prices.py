"""What the tokens of a request cost."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

#: Costs are counted in whole billionths of the currency: with prices of three decimals
#: for a million tokens, the cost of one token is exact.
BILLION = 1_000_000_000
#: From a price for a million tokens to billionths for one token.
_PER_TOKEN = BILLION // 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices for a million tokens; a prompt's cached tokens have one of their own."""

    input: Decimal = Decimal(0)
    cached: Decimal = Decimal(0)
    output: Decimal = Decimal(0)

    def cost(self, *, prompt: int, cached: int, output: int) -> int:
        """Return the cost of tokens, in billionths; ``prompt`` includes ``cached``."""
        total = (
            (prompt - cached) * self.input + cached * self.cached + output * self.output
        )
        return int(total * _PER_TOKEN)
