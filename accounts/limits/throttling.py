"""Limits by address: clients without a key, failed keys, failed logins.

They are counted in windows of time by django-ratelimit.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import BaseCache, caches
from django_ratelimit.core import get_usage
from redis.exceptions import RedisError
from rest_framework.throttling import BaseThrottle

from accounts.errors import RateLimited, TooManySequences
from accounts.limits.client_ip import client_address, client_ip
from accounts.limits.counting.redis_client import shared_cache
from accounts.limits.default_limit import default_limit
from accounts.limits.duration import duration_text
from accounts.limits.limit_rows import rules_of
from accounts.limits.refusals import refusals
from accounts.models import ApiKey
from accounts.session_access import SessionAccess

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request
    from rest_framework.views import APIView

    from accounts.limits.counting.rules import DefaultLimit

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RateWindow:
    """The requests of one client in its current window."""

    limit: int
    count: int
    reset_s: int

    @property
    def is_exceeded(self) -> bool:
        """Whether this request is above the limit."""
        return self.count > self.limit

    @property
    def is_full(self) -> bool:
        """Whether one more would be above the limit."""
        return self.count >= self.limit

    def headers(self) -> dict[str, str]:
        """Return the rate limit headers of the response."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(max(self.limit - self.count, 0)),
            "x-ratelimit-reset-requests": duration_text(self.reset_s),
        }


def request_ip(request: HttpRequest | Request) -> str:
    """Return the client's address, given the configured number of proxies."""
    proxies = settings.CONFIG.server.trusted_proxies
    return client_ip(request.META, trusted_proxies=proxies)


def request_address(request: HttpRequest | Request) -> str:
    """Return the client's whole address, given the configured number of proxies."""
    proxies = settings.CONFIG.server.trusted_proxies
    return client_address(request.META, trusted_proxies=proxies)


class InferenceThrottle(BaseThrottle):
    """Refuses what needs no body to be refused.

    Counts requests by address if no key is required; those of a key are counted once
    their body is read, by ``admission``.
    """

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count a request without a key, and set the rate limit headers.

        Raises RateLimited. Three round trips to Redis; none for a key.
        """
        if isinstance(request.auth, ApiKey | SessionAccess):
            refusals.check(rules_of(request.auth, None))
            return True
        limit = default_limit()
        if limit.requests == 0:
            return True
        window = _count_request("inference", request, limit)
        view.headers.update(window.headers())
        if window.is_exceeded:
            raise _rate_limited(window, limit, "requests")
        return True


def count_sequences(request: Request, sequences: int) -> dict[str, str]:
    """Count a request without a key that makes several sequences as that many.

    It has been counted as one before. Returns the rate limit headers. Raises
    TooManySequences and RateLimited.
    """
    limit = default_limit()
    if limit.requests == 0 or sequences == 1:
        return {}
    if sequences > limit.requests:
        allowed = f"{limit.requests} requests in {limit.window_s} s"
        raise TooManySequences(cost=sequences, limit=allowed)
    window = _count_request("inference", request, limit, cost=sequences - 1)
    if window.is_exceeded:
        raise _rate_limited(window, limit, "requests", cost=sequences)
    return {**window.headers(), "x-ratelimit-cost-requests": str(sequences)}


def count_failure(request: HttpRequest | Request) -> None:
    """Count a failed authentication of this client. Raises RateLimited.

    Without Redis the failure is not counted: a key has 256 random bits, so this
    limits noise, not the chance to guess a key.
    """
    limit = default_limit()
    if limit.requests == 0:
        return
    try:
        window = _count_request("authentication", request, limit)
    except RedisError as error:
        logger.warning("A failed authentication was not counted: %s", error)
        return
    if window.is_exceeded:
        raise _rate_limited(window, limit, "failed authentications")


def _count_request(
    group: str, request: HttpRequest | Request, limit: DefaultLimit, cost: int = 1
) -> RateWindow:
    client = f"ip:{request_ip(request)}"
    return count(
        group, client, limit=limit.requests, window_s=limit.window_s, cost=cost
    )


class _CostingCache:
    """The counters' cache, in which one increment is of ``cost``."""

    def __init__(self, shared: BaseCache, cost: int) -> None:
        self._shared = shared
        self._cost = cost

    def add(self, key: str, value: int, timeout: int) -> bool:
        """Begin a counter."""
        return self._shared.add(key, value * self._cost, timeout)

    def incr(self, key: str) -> int:
        """Return the counter, counted on."""
        return self._shared.incr(key, self._cost)


def count(
    group: str,
    client: str,
    *,
    limit: int,
    window_s: int,
    increment: bool = True,
    cost: int = 1,
) -> RateWindow:
    """Return the window of a client in a group, perhaps with ``cost`` more in it.

    Raises RedisError.
    """
    alias = settings.RATELIMIT_USE_CACHE
    counters: Any = shared_cache(alias)
    if cost > 1:
        counters = _CostingCache(counters, cost)
    caches[alias] = counters
    usage: dict[str, Any] | None = get_usage(
        None,
        group=group,
        key=lambda group, request: client,
        rate=(limit, window_s),
        increment=increment,
    )
    if usage is None:  # RATELIMIT_ENABLE is false.
        return RateWindow(limit=limit, count=0, reset_s=0)
    if usage["time_left"] < 0:  # The counter expired between two commands.
        return RateWindow(limit=limit, count=int(increment), reset_s=1)
    return RateWindow(
        limit=limit, count=usage["count"], reset_s=max(int(usage["time_left"]), 1)
    )


def _rate_limited(
    window: RateWindow, limit: DefaultLimit, what: str, cost: int = 1
) -> RateLimited:
    counts = f" This request counts as {cost}." if cost > 1 else ""
    return RateLimited(
        f"Rate limit reached: {limit.requests} {what} in {limit.window_s} s, for this "
        f"address.{counts} Try again in {window.reset_s} s.",
        wait=window.reset_s,
        limit_name="requests_minute address",
        headers=window.headers(),
    )
