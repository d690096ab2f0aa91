"""How many requests of an address in a window."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.test import RequestFactory
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.errors import RateLimited, TooManySequences
from accounts.limits import throttling
from accounts.limits.throttling import InferenceThrottle, count_sequences
from tests.configuration import changed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _two_requests_a_minute(settings: Any) -> None:
    cache.clear()
    settings.CONFIG = changed(settings.CONFIG, server__rate_limit=2)


def request_of(**meta: str) -> Request:
    """Return a request without a key, where none is required."""
    request = Request(RequestFactory().post("/", **meta), authenticators=[])  # type: ignore[arg-type]
    request.auth = None
    return request


def call(**meta: str) -> dict[str, str]:
    """Make a request; return the headers of its answer."""
    view = APIView()
    view.headers = {}
    InferenceThrottle().allow_request(request_of(**meta), view)
    return dict(view.headers)


def test_each_answer_reports_the_remaining_requests_and_the_limit_refuses() -> None:
    first, second = call(), call()
    with pytest.raises(RateLimited) as caught:
        call()

    assert first["x-ratelimit-limit-requests"] == "2"
    assert first["x-ratelimit-remaining-requests"] == "1"
    assert second["x-ratelimit-remaining-requests"] == "0"
    assert first["x-ratelimit-reset-requests"].endswith("s")
    assert 1 <= caught.value.wait <= 60
    assert "2 requests in 60 s, for this address" in str(caught.value.detail)
    assert caught.value.headers["x-ratelimit-remaining-requests"] == "0"


def test_a_limit_of_zero_is_none(settings: Any) -> None:
    settings.CONFIG = changed(settings.CONFIG, server__rate_limit=0)

    assert [call() for _ in range(5)] == [{}] * 5
    assert count_sequences(request_of(), 128) == {}


def test_clients_without_a_key_are_counted_by_address() -> None:
    call(REMOTE_ADDR="192.0.2.1")
    call(REMOTE_ADDR="192.0.2.1")

    assert call(REMOTE_ADDR="192.0.2.2")["x-ratelimit-remaining-requests"] == "1"
    with pytest.raises(RateLimited):
        call(REMOTE_ADDR="192.0.2.1")


def test_an_address_that_the_client_made_up_changes_nothing() -> None:
    for number in range(2):
        call(HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")

    with pytest.raises(RateLimited):
        call(HTTP_X_FORWARDED_FOR="198.51.100.9")


def test_behind_a_trusted_proxy_its_word_counts(settings: Any) -> None:
    settings.CONFIG = changed(settings.CONFIG, server__trusted_proxies=1)
    for number in range(3):
        call(HTTP_X_FORWARDED_FOR=f"203.0.113.7, 198.51.100.{number}")

    call(HTTP_X_FORWARDED_FOR="198.51.100.0")
    with pytest.raises(RateLimited):
        call(HTTP_X_FORWARDED_FOR="1.2.3.4, 198.51.100.0")


def test_a_counter_that_expires_between_two_commands_lets_the_request_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = {"count": 0, "limit": 0, "should_limit": True, "time_left": -1}
    monkeypatch.setattr(throttling, "get_usage", lambda *args, **kwargs: lost)

    assert call()["x-ratelimit-remaining-requests"] == "1"


def test_the_limits_can_be_switched_off_for_a_deployment(settings: Any) -> None:
    settings.RATELIMIT_ENABLE = False

    assert [call()["x-ratelimit-remaining-requests"] for _ in range(3)] == ["2"] * 3


def test_a_request_of_several_sequences_counts_as_that_many(settings: Any) -> None:
    settings.CONFIG = changed(settings.CONFIG, server__rate_limit=10)
    call()
    headers = count_sequences(request_of(), 6)
    call()

    assert headers["x-ratelimit-cost-requests"] == "6"
    assert headers["x-ratelimit-remaining-requests"] == "4"
    with pytest.raises(RateLimited, match=r"This request counts as 6\."):
        count_sequences(request_of(), 6)
    with pytest.raises(RateLimited):
        call()


def test_more_sequences_than_a_window_has_requests_are_refused_for_good() -> None:
    with pytest.raises(TooManySequences, match="counts as 3 requests"):
        count_sequences(request_of(), 3)

    assert call()["x-ratelimit-remaining-requests"] == "1"
