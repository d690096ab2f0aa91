"""What was spent since a day, by key, owner, team and model."""

from __future__ import annotations

from datetime import date

import pytest

from accounts.models import UsageDay
from accounts.usage.totals import Spent, spent

pytestmark = pytest.mark.django_db


def test_days_are_added_up_from_the_first_one_on() -> None:
    for day in (1, 2, 3):
        UsageDay.objects.create(
            day=date(2026, 11, day),
            key_id=1,
            owner_id=2,
            team_id=3,
            model_id=day,
            requests=1,
            prompt_tokens=10,
            completion_tokens=5,
            cost=7,
        )
    assert spent(date(2026, 11, 4)) == Spent()
    found = spent(date(2026, 11, 2), key=1)
    assert (found.requests, found.tokens, found.cost) == (2, 30, 14)
    assert spent(date(2026, 11, 1), owner=2, team=3).requests == 3
    assert spent(date(2026, 11, 1), model=2).requests == 1
    assert spent(date(2026, 11, 1), key=9) == Spent()
