"""How many requests a key, or a client without one, may make in a window."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import BaseCache, caches
from django_ratelimit.core import get_usage
from redis.exceptions import RedisError
from rest_framework.throttling import BaseThrottle

from accounts.errors import RateLimited
from accounts.limits.client_ip import client_ip
from accounts.models import ApiKey

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Usage:
    """Where a client stands in its window."""

    limit: int
    count: int
    reset_s: int

    @property
    def is_exceeded(self) -> bool:
        """Whether this request is one too many."""
        return self.count > self.limit

    def headers(self) -> dict[str, str]:
        """Return the headers that tell a client where it stands."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(max(self.limit - self.count, 0)),
            "x-ratelimit-reset-requests": f"{self.reset_s}s",
        }


def request_ip(request: HttpRequest | Request) -> str:
    """Return the client's address under the configured number of proxies."""
    proxies = settings.CONFIG.server.trusted_proxies
    return client_ip(request.META, trusted_proxies=proxies)


class InferenceThrottle(BaseThrottle):
    """Limits requests by key, or by address where no key is needed."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count the request and put the rate headers on the answer.

        Raises RateLimited. Three round trips to Redis.
        """
        key = request.auth
        if isinstance(key, ApiKey):
            client, limit = f"key:{key.prefix}", key.rate_limit
        else:
            client, limit = f"ip:{request_ip(request)}", None
        if limit is None:
            limit = settings.CONFIG.server.rate_limit
        if limit == 0:
            return True
        usage = _count("inference", client, limit)
        view.headers.update(usage.headers())
        if usage.is_exceeded:
            raise _refusal(usage, "requests")
        return True


def failure_count(request: HttpRequest | Request) -> None:
    """Count a failed authentication of this client. Raises RateLimited.

    Without Redis the failure stays uncounted: a key has 256 random bits, so
    what is limited here is noise, not the chance to guess one.
    """
    limit = settings.CONFIG.server.rate_limit
    if limit == 0:
        return
    try:
        usage = _count("authentication", f"ip:{request_ip(request)}", limit)
    except RedisError as error:
        logger.warning("A failed authentication was not counted: %s", error)
        return
    if usage.is_exceeded:
        raise _refusal(usage, "failed authentications")


def _count(group: str, client: str, limit: int) -> Usage:
    alias = settings.RATELIMIT_USE_CACHE
    # Django makes a cache, and so a connection to Redis, for every request: its
    # handler is bound to the context. Redis's client is safe to share.
    caches[alias] = _shared_cache(alias)
    usage: dict[str, Any] | None = get_usage(
        None,
        group=group,
        key=lambda group, request: client,
        rate=(limit, settings.CONFIG.server.rate_limit_window),
        increment=True,
    )
    if usage is None:  # Switched off by RATELIMIT_ENABLE.
        return Usage(limit=limit, count=0, reset_s=0)
    if usage["time_left"] < 0:  # The counter expired between two commands.
        return Usage(limit=limit, count=1, reset_s=1)
    return Usage(
        limit=limit, count=usage["count"], reset_s=max(int(usage["time_left"]), 1)
    )


@cache
def _shared_cache(alias: str) -> BaseCache:
    return caches.create_connection(alias)


def _refusal(usage: Usage, what: str) -> RateLimited:
    window_s = settings.CONFIG.server.rate_limit_window
    return RateLimited(
        limit=usage.limit, window_s=window_s, wait=usage.reset_s, what=what
    )
