"""The limit of requests a minute, for programs: a token bucket for each client."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimiter:
    """The default limit of this process: a bucket of requests for each client.

    A bucket holds ``requests`` and is full again ``window_s`` seconds after it was
    empty; 0 ``requests`` is no limit.
    """

    requests: int
    window_s: int

    def allow(self, client: str) -> bool:
        """Take one request from a client's bucket; return whether it had one.

        The bucket is in Redis, shared by all processes, and apart from those of API
        keys. Raises redis.exceptions.RedisError.
        """
        from accounts.limits.counting.redis_client import redis_client
        from accounts.limits.counting.rules import Rule
        from accounts.limits.counting.store import Counter, take
        from accounts.models import LimitKind

        if self.requests == 0:
            return True
        rule = Rule(
            LimitKind.REQUESTS_MINUTE,
            self.requests,
            slot=f"client:{client}/{LimitKind.REQUESTS_MINUTE.value}",
            holder=f"the client '{client}'",
            window_s=self.window_s,
        )
        request_id = uuid.uuid4().hex
        return take(redis_client(), request_id, [Counter(rule, 1)]).is_taken


def get_rate_limiter(requests_per_minute: int | None = None) -> RateLimiter:
    """Return this process's limiter; with a number, set its default limit first.

    It holds for clients without a limit of their own: keys whose row, owner and team
    say nothing, and addresses where no key is required. It holds in the process that
    calls it, in place of ``server.rate_limit`` and ``server.rate_limit_window``, until
    that process ends: call it in every web process, or change the configuration. What
    was used is counted in Redis for all processes together. Raises ValueError for a
    negative number.
    """
    _set_up_django()
    from accounts.limits.default_limit import default_limit, set_default_limit

    if requests_per_minute is not None:
        set_default_limit(requests_per_minute)
    limit = default_limit()
    return RateLimiter(limit.requests, limit.window_s)


def _set_up_django() -> None:
    import django
    from django.apps import apps

    if not apps.ready:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")
        django.setup()
