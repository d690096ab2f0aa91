"""Requests on their way, as the rights of their page name them."""

from __future__ import annotations

from accounts.models import UsageRecord


class RunningRequest(UsageRecord):
    """A request that runs or waits, for the rights of its page; it has no row yet."""

    class Meta:
        proxy = True
        default_permissions = ("view", "cancel")
        verbose_name = "running request"
