"""What tokens cost."""

from __future__ import annotations

from decimal import Decimal

from registry.models import Model
from registry.prices import Prices


def test_cached_tokens_of_a_prompt_have_a_price_of_their_own() -> None:
    prices = Prices(input=Decimal("2.5"), cached=Decimal("0.25"), output=Decimal(10))

    cost = prices.cost(prompt=1_000_000, cached=400_000, output=100_000)

    # 0.6 * 2.5 + 0.4 * 0.25 + 0.1 * 10
    assert cost == 2_600_000_000


def test_one_token_of_the_cheapest_price_costs_something() -> None:
    cheapest = Prices(input=Decimal("0.001"))

    assert cheapest.cost(prompt=1, cached=0, output=0) == 1


def test_a_model_without_prices_is_free_and_cached_tokens_cost_as_the_others() -> None:
    assert Model().prices == Prices()
    priced = Model(input_price=Decimal(3))
    assert priced.prices == Prices(Decimal(3), Decimal(3), Decimal(0))
