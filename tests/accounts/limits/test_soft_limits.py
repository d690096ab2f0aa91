"""A notice when four fifths of a budget are spent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import cache

from accounts.limits import soft_limits
from accounts.limits.admission import admit
from accounts.limits.demand import Demand, Tokens
from accounts.models import ApiKey, Limit, LimitKind, Notice
from tests.factories import make_api_key, make_model

pytestmark = pytest.mark.django_db


class _Writer:
    """Writes when it is asked to."""

    def __init__(self) -> None:
        self._due: list[tuple[Any, Any]] = []

    def submit(self, write: Any, counter: Any, spent: Any) -> None:
        """Keep what is to be written."""
        self._due.append((counter, spent))

    def write(self) -> None:
        """Write it."""
        while self._due:
            soft_limits.write_notice(*self._due.pop())


writer = _Writer()


@pytest.fixture(autouse=True)
def _in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr(soft_limits, "_writer", writer)
    monkeypatch.setattr(soft_limits, "_noted", set())


def use(key: ApiKey, tokens: int) -> None:
    """Answer a request of this many tokens."""
    model = make_model()
    demand = Demand(model=model, tokens=Tokens(prompt=1))
    reservation = admit(key, model, lambda needs_tokens: demand)
    async_to_sync(reservation.settle)(Tokens(prompt=tokens))
    writer.write()


def test_it_is_there_once_and_says_what_is_used_and_when_it_resets() -> None:
    key, _ = make_api_key(name="ci", rate_limit=0)
    Limit.objects.create(key=key, kind=LimitKind.TOKENS_MONTH, amount=1000)

    use(key, 799)
    assert not Notice.objects.exists()
    use(key, 6)
    use(key, 50)

    text = Notice.objects.get().text
    assert text.startswith(
        "80 % of a budget are used: 805 tokens of 1,000 tokens a month, for the API "
        "key 'ci'. It resets at "
    )


def test_another_process_writes_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    key, _ = make_api_key(rate_limit=0)
    Limit.objects.create(key=key, kind=LimitKind.TOKENS_DAY, amount=100)
    use(key, 90)

    monkeypatch.setattr(soft_limits, "_noted", set())
    use(key, 5)

    assert Notice.objects.count() == 1


def test_a_raised_budget_has_a_notice_of_its_own() -> None:
    key, _ = make_api_key(rate_limit=0)
    limit = Limit.objects.create(key=key, kind=LimitKind.TOKENS_DAY, amount=100)
    use(key, 90)
    soft_limits._noted.clear()

    limit.amount = Decimal(110)
    limit.save()
    use(key, 5)

    assert Notice.objects.count() == 2
