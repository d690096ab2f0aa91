"""What an admission costs: one question to Redis, none to the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache

from accounts.limits.admission import admit
from accounts.limits.counting.redis_client import redis_client
from accounts.limits.demand import Demand, Tokens
from accounts.models import ApiKey, Limit, LimitKind
from tests.factories import make_api_key, make_model

if TYPE_CHECKING:
    from registry.models import Model

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> ApiKey:
    """A key with a limit of each kind."""
    cache.clear()
    key, _ = make_api_key(rate_limit=1_000_000)
    for kind in LimitKind:
        if kind != LimitKind.REQUESTS_MINUTE:
            Limit.objects.create(key=key, kind=kind, amount=10_000_000)
    return key


@pytest.fixture
def model() -> Model:
    return make_model()


def ask(key: ApiKey, model: Model) -> Any:
    """Ask for a request's admission."""
    demand = Demand(model=model, tokens=Tokens(prompt=100, output=100))
    return admit(key, model, lambda needs_tokens: demand)


def test_all_limits_are_one_round_trip_and_no_query(
    key: ApiKey,
    model: Model,
    django_assert_num_queries: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask(key, model)
    sent: list[str] = []
    client = redis_client()
    execute = client.execute_command

    def counted(*arguments: Any, **options: Any) -> Any:
        sent.append(arguments[0])
        return execute(*arguments, **options)

    monkeypatch.setattr(client, "execute_command", counted)
    monkeypatch.setattr("accounts.limits.admission.redis_client", lambda: client)

    with django_assert_num_queries(0):
        reservation = ask(key, model)

    assert sent == ["EVALSHA"]
    assert len(reservation.counters) == len(LimitKind)
