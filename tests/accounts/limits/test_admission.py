"""What a key may use: its own limits, its owner's, its team's, and the default."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.errors import (
    QuotaExceeded,
    RateLimited,
    TooManySequences,
    TooManyTokens,
)
from accounts.limits import spending
from accounts.limits.admission import admit
from accounts.limits.default_limit import set_default_limit
from accounts.limits.demand import Demand, Tokens
from accounts.limits.limit_rows import rules_of
from accounts.limits.refusals import refusals
from accounts.models import ApiKey, Limit, LimitKind, UsageDay
from accounts.services import api_key_rotate
from registry.models import Model
from tests.configuration import changed
from tests.factories import make_api_key, make_model, make_team, make_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accounts.limits.admission import Reservation

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _two_requests_a_minute(settings: Any) -> Iterator[None]:
    cache.clear()
    settings.CONFIG = changed(settings.CONFIG, server__rate_limit=2)
    yield
    set_default_limit(None)


def call(key: ApiKey, model: Model | None = None, **demand: Any) -> Reservation:
    """Ask for a request's admission."""
    refusals.clear()
    wanted = Demand(model=model, **demand)
    return admit(key, model, lambda needs_tokens: wanted)


def limit(kind: LimitKind, amount: float, **holder: Any) -> Limit:
    """Save a limit that a form would take."""
    row = Limit(kind=kind, amount=Decimal(str(amount)), **holder)
    row.full_clean()
    row.save()
    return row


def test_each_answer_reports_what_is_left_and_the_limit_refuses() -> None:
    key, _ = make_api_key(name="ci")

    first, second = call(key).headers, call(key).headers
    with pytest.raises(RateLimited) as caught:
        call(key)

    assert first == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "30s",
    }
    assert second["x-ratelimit-remaining-requests"] == "0"
    assert second["x-ratelimit-reset-requests"] == "1m0s"
    assert 29 <= caught.value.wait <= 30
    assert str(caught.value.detail) == (
        "Rate limit reached: 2 requests in 60 s, for the API key 'ci' (the default). "
        f"Try again in {caught.value.wait} s."
    )
    assert caught.value.headers["x-ratelimit-remaining-requests"] == "0"
    assert caught.value.limit_name == f"requests_minute key:{key.prefix}"


def test_each_key_has_its_own_bucket_and_may_have_its_own_limit() -> None:
    one, _ = make_api_key()
    other, _ = make_api_key(rate_limit=5)
    free, _ = make_api_key(rate_limit=0)
    call(one)
    call(one)

    assert call(other).headers["x-ratelimit-remaining-requests"] == "4"
    assert [call(free).headers for _ in range(4)] == [{}] * 4
    assert call(other).headers["x-ratelimit-remaining-requests"] == "3"


def test_a_request_of_several_answers_counts_as_that_many(settings: Any) -> None:
    key, _ = make_api_key(rate_limit=10)

    headers = call(key, requests=6).headers

    assert headers["x-ratelimit-cost-requests"] == "6"
    assert headers["x-ratelimit-remaining-requests"] == "4"
    with pytest.raises(RateLimited, match=r"This request counts as 6\."):
        call(key, requests=6)
    with pytest.raises(TooManySequences, match="counts as 11 requests"):
        call(key, requests=11)


def test_a_teams_limit_is_shared_by_its_keys_and_the_message_names_it() -> None:
    owners = [make_user(), make_user()]
    team = make_team("research", *owners)
    limit(LimitKind.REQUESTS_MINUTE, 3, team=team)
    keys = [make_api_key(owner, team=team, rate_limit=0)[0] for owner in owners]
    outside, _ = make_api_key(rate_limit=0)
    for key in (keys[0], keys[1], keys[0]):
        call(key)

    with pytest.raises(RateLimited, match="for the team 'research'"):
        call(keys[1])
    call(outside)


def test_the_narrowest_limit_refuses_and_is_in_the_headers() -> None:
    owner = make_user("ann")
    team = make_team("research", owner)
    key, _ = make_api_key(owner, team=team, rate_limit=50)
    limit(LimitKind.REQUESTS_MINUTE, 100, team=team)
    limit(LimitKind.REQUESTS_MINUTE, 1, user=owner)

    headers = call(key).headers
    with pytest.raises(RateLimited, match="1 requests in 60 s, for the user 'ann'"):
        call(key)

    assert headers["x-ratelimit-limit-requests"] == "1"
    # The refused request has taken nothing from the others.
    Limit.objects.filter(user=owner).delete()
    assert call(key).headers["x-ratelimit-remaining-requests"] == "48"


def test_a_teams_limit_for_each_key_goes_before_the_default() -> None:
    owner = make_user()
    team = make_team("research", owner)
    limit(LimitKind.REQUESTS_MINUTE, 7, team=team, is_shared=False)
    one, _ = make_api_key(owner, team=team)
    other, _ = make_api_key(owner, team=team)
    own, _ = make_api_key(owner, team=team, rate_limit=4)
    call(one)

    assert call(other).headers["x-ratelimit-remaining-requests"] == "6"
    assert call(own).headers["x-ratelimit-limit-requests"] == "4"
    [rule] = rules_of(one, None)
    assert rule.holder == "the API key 'a key' (of its team 'research')"


def test_a_default_row_holds_for_every_key_without_its_own() -> None:
    limit(LimitKind.PARALLEL, 1)
    one, _ = make_api_key()
    other, _ = make_api_key()
    limit(LimitKind.PARALLEL, 9, key=other)

    call(one)
    with pytest.raises(RateLimited, match="1 requests at once"):
        call(one)
    call(other)
    call(other)


def test_a_limit_of_one_model_leaves_the_others_alone() -> None:
    small, large = make_model("small"), make_model("large")
    key, _ = make_api_key(rate_limit=0)
    limit(LimitKind.REQUESTS_MINUTE, 1, key=key, model=large)

    call(key, large)
    with pytest.raises(RateLimited, match="of the model 'large'"):
        call(key, large)

    assert call(key, small).headers == {}


def test_tokens_are_reserved_by_the_estimate_and_settled_by_the_count() -> None:
    model = make_model()
    key, _ = make_api_key(rate_limit=0)
    limit(LimitKind.TOKENS_MINUTE, 60_000, key=key)
    estimate = Tokens(prompt=30_000, output=20_000)

    reservation = call(key, model, tokens=estimate)
    with pytest.raises(RateLimited, match="may need 50,000 tokens"):
        call(key, model, tokens=estimate)
    async_to_sync(reservation.settle)(Tokens(prompt=100, output=20))

    left = int(call(key, model).headers["x-ratelimit-remaining-tokens"])
    assert left >= 59_880


def test_a_request_may_reserve_a_full_bucket_but_its_prompt_must_fit() -> None:
    model = make_model()
    key, _ = make_api_key(rate_limit=0)
    limit(LimitKind.TOKENS_MINUTE, 1000, key=key)

    with pytest.raises(TooManyTokens, match="1,200 tokens or more"):
        call(key, model, tokens=Tokens(prompt=3600), least=1200)
    headers = call(key, model, tokens=Tokens(prompt=900, output=1024), least=300)

    assert headers.headers["x-ratelimit-remaining-tokens"] == "0"


def test_a_spent_budget_says_what_is_left_and_when_it_resets() -> None:
    model = make_model()
    owner = make_user("ann")
    key, _ = make_api_key(owner, rate_limit=0)
    limit(LimitKind.TOKENS_MONTH, 1_000_000, user=owner)
    call(key, model, tokens=Tokens(prompt=999_900))

    with pytest.raises(QuotaExceeded) as caught:
        call(key, model, tokens=Tokens(prompt=200))

    text = str(caught.value.detail)
    assert "1,000,000 tokens a month, for the user 'ann'" in text
    assert "100 tokens are left, and this request may need 200 tokens" in text
    assert "It resets at 20" in text
    assert "-01 00:00 UTC" in text
    assert 0 < caught.value.wait <= 31 * 86400


def test_money_is_counted_by_the_models_prices() -> None:
    model = make_model(input_price=Decimal(2), output_price=Decimal(8))
    free = make_model()
    key, _ = make_api_key(rate_limit=0)
    limit(LimitKind.MONEY_MONTH, 10, key=key)
    # 1 million prompt tokens and half a million of an answer: 2 + 4.
    call(key, model, tokens=Tokens(prompt=1_000_000, output=500_000))

    with pytest.raises(QuotaExceeded, match=r"4\.00 USD are left"):
        call(key, model, tokens=Tokens(prompt=1_000_000, output=500_000))
    call(key, free, tokens=Tokens(prompt=9_000_000))


def test_what_was_spent_before_redis_was_restarted_comes_from_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, _ = make_api_key(rate_limit=0)
    limit(LimitKind.TOKENS_DAY, 1000, key=key)
    asked: list[Any] = []

    def in_the_database(rule: Any, since: Any) -> int:
        asked.append((rule.spender.key, since.hour))
        return 940

    monkeypatch.setattr("accounts.limits.admission.spent", in_the_database)

    admission = call(key, make_model(), tokens=Tokens(prompt=50))
    call(key, make_model(), tokens=Tokens(prompt=5))

    assert admission.headers["x-ratelimit-remaining-tokens"] == "10"
    assert asked == [(key.lineage, 0)]


def test_the_default_can_be_set_by_a_call() -> None:
    key, _ = make_api_key()
    set_default_limit(100)

    assert call(key).headers["x-ratelimit-remaining-requests"] == "99"
    with pytest.raises(ValueError, match="at least 0"):
        set_default_limit(-1)


def test_a_refused_key_is_refused_again_without_asking_redis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, _ = make_api_key(rate_limit=1)
    call(key)
    with pytest.raises(RateLimited) as first:
        call(key)

    monkeypatch.setattr("accounts.limits.admission.redis_client", None)
    with pytest.raises(RateLimited) as second:
        refusals.check(rules_of(key, None))

    assert first.value.wait - 1 <= second.value.wait <= first.value.wait
    # A limit that was changed is asked again.
    key.rate_limit = 5
    refusals.check(rules_of(key, None))


def test_a_known_refusal_ends_when_a_request_has_refilled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, _ = make_api_key(rate_limit=60)
    call(key, requests=60)
    with pytest.raises(RateLimited):
        call(key)
    later = time.monotonic() + 1.01

    monkeypatch.setattr(refusals, "_clock", lambda: later)

    refusals.check(rules_of(key, None))


def test_a_rotated_key_has_the_limits_of_the_one_before_it() -> None:
    old, _ = make_api_key(rate_limit=0)
    limit(LimitKind.PARALLEL, 2, key=old)
    call(old)

    new, _ = api_key_rotate(key=old, grace=timedelta(days=1))
    call(new)
    for key in (old, new):
        with pytest.raises(RateLimited, match="2 requests at once"):
            call(key)
    old.delete()

    with pytest.raises(RateLimited):
        call(new)


def test_a_limit_has_one_holder_and_is_there_once() -> None:
    key, _ = make_api_key()
    limit(LimitKind.PARALLEL, 1, key=key)

    with transaction.atomic(), pytest.raises(IntegrityError):
        Limit.objects.create(kind=LimitKind.PARALLEL, amount=2, key=key)
    with transaction.atomic(), pytest.raises(IntegrityError):
        Limit.objects.create(kind=LimitKind.PARALLEL, amount=2, key=key, user=key.owner)


@pytest.mark.parametrize(
    ("kind", "amount", "message"),
    [
        (LimitKind.TOKENS_DAY, 1.5, "whole number"),
        (LimitKind.TOKENS_DAY, 0, "greater than or equal"),
        (LimitKind.REQUESTS_MINUTE, 5, "server.rate_limit"),
    ],
)
def test_a_limit_that_cannot_be_counted_is_refused(
    kind: LimitKind, amount: float, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        limit(kind, amount)


def test_what_a_budget_has_spent_is_in_the_sums_of_days() -> None:
    owner = make_user()
    team = make_team("research", owner)
    old, _ = make_api_key(owner, team=team)
    key, _ = api_key_rotate(key=old, grace=timedelta(days=1))
    other, _ = make_api_key(owner, team=team)
    model = make_model()
    today = datetime.now(UTC).date()
    for used_by, day, tokens, cost in (
        (old, today, 1, 10),
        (key, today, 20, 200),
        (other, today, 300, 3000),
        (key, today - timedelta(days=40), 4000, 40_000),
    ):
        UsageDay.objects.create(
            day=day,
            key_id=used_by.pk,
            owner_id=owner.pk,
            team_id=team.pk,
            model_id=model.pk,
            prompt_tokens=tokens,
            cost=cost,
        )
    limit(LimitKind.TOKENS_DAY, 1_000_000, key=key)
    limit(LimitKind.MONEY_MONTH, 1_000_000, team=team)
    limit(LimitKind.TOKENS_MONTH, 1_000_000, user=owner, model=make_model("other"))
    start = datetime.now(UTC).replace(day=1, hour=0)

    rules = rules_of(key, None) + rules_of(key, Model.objects.get(name="other"))

    sums = {rule.slot: spending.spent(rule, start) for rule in rules}
    assert set(sums.values()) >= {21, 3210, 0}
