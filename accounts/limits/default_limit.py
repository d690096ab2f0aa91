"""The default of requests a minute: the configuration's, or one set here."""

from __future__ import annotations

from django.conf import settings

from accounts.limits.counting.rules import DefaultLimit

_MINUTE_S = 60
_set_here: list[DefaultLimit] = []


def default_limit() -> DefaultLimit:
    """Return what a client may send that has no limit of its own."""
    if _set_here:
        return _set_here[-1]
    server = settings.CONFIG.server
    return DefaultLimit(server.rate_limit, server.rate_limit_window)


def set_default_limit(requests_per_minute: int | None) -> None:
    """Set this process's default; None is the configuration's. Raises ValueError."""
    if requests_per_minute is not None and requests_per_minute < 0:
        raise ValueError("requests_per_minute must be at least 0, which is no limit.")
    _set_here.clear()
    if requests_per_minute is not None:
        _set_here.append(DefaultLimit(requests_per_minute, _MINUTE_S))
