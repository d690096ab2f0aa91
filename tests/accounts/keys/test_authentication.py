"""Who calls, by API key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.test import RequestFactory
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError
from rest_framework.request import Request

from accounts.errors import AddressNotAllowed, InvalidApiKey, RateLimited
from accounts.keys.authentication import BearerAuthentication
from accounts.limits import throttling
from tests.configuration import changed
from tests.factories import make_api_key, make_team, make_user

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    # The write of the last use has tests of its own.
    monkeypatch.setattr("accounts.keys.authentication.note_last_use", lambda *use: None)


def authenticate(**headers: str) -> Any:
    request = Request(RequestFactory().get("/", headers=headers))
    return BearerAuthentication().authenticate(request)


def test_a_bearer_token_gives_the_owner_and_the_key_in_two_queries_and_then_in_none(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    key, secret = make_api_key()

    for count in (2, 0):  # The key with its owner, its models; then what is known.
        with django_assert_num_queries(count):
            user, found = authenticate(authorization=f"Bearer {secret}")
            assert (user, found) == (key.owner, key)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_the_scheme_is_spelled_as_one_likes(scheme: str) -> None:
    key, secret = make_api_key()

    assert authenticate(authorization=scheme + secret)[1] == key


def test_x_api_key_is_taken_where_there_is_no_bearer_token() -> None:
    key, secret = make_api_key()

    assert authenticate(**{"x-api-key": secret})[1] == key
    assert (
        authenticate(**{"x-api-key": secret, "authorization": "Basic eA=="})[1] == key
    )
    with pytest.raises(InvalidApiKey):
        authenticate(**{"x-api-key": secret, "authorization": "Bearer wrong"})


def test_no_key_is_nobody() -> None:
    assert authenticate() is None
    assert authenticate(authorization="Bearer ") is None
    assert authenticate(authorization="Basic eA==") is None


def test_all_unusable_keys_are_refused_in_the_same_way() -> None:
    revoked, revoked_secret = make_api_key()
    revoked.revoke()
    past = timezone.now() - timedelta(seconds=1)
    _, expired_secret = make_api_key(expires_at=past)
    _, orphan_secret = make_api_key(make_user(is_active=False))
    _, good_secret = make_api_key()
    other_prefix = "sk-llmm-" + "0" * 12 + good_secret[20:]
    secrets = [
        *(revoked_secret, expired_secret, orphan_secret),
        *(good_secret[:-1], good_secret + "x", other_prefix, "nonsense", "clé"),
    ]

    messages = set()
    for secret in secrets:
        with pytest.raises(InvalidApiKey) as caught:
            authenticate(authorization=f"Bearer {secret}")
        messages.add(str(caught.value.detail))

    assert len(messages) == 1


def test_where_no_key_is_required_one_that_does_not_exist_counts_as_none(
    settings: Any,
) -> None:
    settings.AUTH_REQUIRED = False
    settings.CONFIG = changed(settings.CONFIG, server__rate_limit=1)
    key, secret = make_api_key()

    for unknown in ("not-needed", "sk-llmm-" + "0" * 55, secret[:-1] + "!", "clé"):
        assert authenticate(authorization=f"Bearer {unknown}") is None
    assert authenticate(authorization=f"Bearer {secret}")[1] == key


def test_a_key_that_was_taken_away_is_refused_even_where_none_is_required(
    settings: Any,
) -> None:
    settings.AUTH_REQUIRED = False
    revoked, revoked_secret = make_api_key()
    revoked.revoke()
    past = timezone.now() - timedelta(seconds=1)
    _, expired_secret = make_api_key(expires_at=past)
    _, orphan_secret = make_api_key(make_user(is_active=False))

    for secret in (revoked_secret, expired_secret, orphan_secret):
        with pytest.raises(InvalidApiKey):
            authenticate(authorization=f"Bearer {secret}")


def test_a_client_that_guesses_is_slowed_down_and_a_good_key_still_works(
    settings: Any,
) -> None:
    settings.CONFIG = changed(settings.CONFIG, server__rate_limit=2)
    _, secret = make_api_key()
    for _ in range(2):
        with pytest.raises(InvalidApiKey):
            authenticate(authorization="Bearer wrong")

    with pytest.raises(RateLimited) as caught:
        authenticate(authorization="Bearer wrong")

    assert 1 <= caught.value.wait <= 60
    assert authenticate(authorization=f"Bearer {secret}") is not None


def test_without_a_limit_nobody_is_slowed_down(settings: Any) -> None:
    settings.CONFIG = changed(settings.CONFIG, server__rate_limit=0)

    for _ in range(100):
        with pytest.raises(InvalidApiKey):
            authenticate(authorization="Bearer wrong")


def test_without_redis_a_wrong_key_is_still_just_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RedisConnectionError("gone")

    monkeypatch.setattr(throttling, "get_usage", fail)

    with pytest.raises(InvalidApiKey):
        authenticate(authorization="Bearer wrong")


def test_a_key_is_refused_from_other_networks_than_its_own() -> None:
    _, secret = make_api_key(allowed_networks=["10.0.0.0/8", "2001:db8::/32"])

    def come_from(address: str, forwarded: str = "") -> Any:
        headers = {"authorization": f"Bearer {secret}"}
        if forwarded:
            headers["x-forwarded-for"] = forwarded
        request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=address)
        return BearerAuthentication().authenticate(Request(request))

    for inside in ("10.1.2.3", "2001:db8::1", "::ffff:10.0.0.1"):
        assert come_from(inside) is not None
    for outside in ("192.0.2.1", "2001:db9::1", ""):
        with pytest.raises(AddressNotAllowed):
            come_from(outside)
    # What a client says of itself counts only through a proxy that is trusted.
    with pytest.raises(AddressNotAllowed):
        come_from("192.0.2.1", forwarded="10.0.0.1")


def test_the_address_counts_as_the_trusted_proxy_gives_it(settings: Any) -> None:
    settings.CONFIG = changed(settings.CONFIG, server__trusted_proxies=1)
    _, secret = make_api_key(allowed_networks=["192.0.2.0/24"])
    headers = {
        "authorization": f"Bearer {secret}",
        "x-forwarded-for": "10.0.0.1, 192.0.2.9",
    }

    assert authenticate(**headers) is not None


def test_a_key_stops_working_when_its_owner_leaves_the_team() -> None:
    owner = make_user()
    team = make_team("red", owner)
    _, secret = make_api_key(owner, team=team)
    assert authenticate(authorization=f"Bearer {secret}") is not None

    owner.groups.clear()

    with pytest.raises(InvalidApiKey):
        authenticate(authorization=f"Bearer {secret}")
