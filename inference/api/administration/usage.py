"""/v1/admin/usage: what all keys have used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.administration import descriptions as about
from inference.api.administration.view import AdminView, answering
from inference.api.usage.view import usage_list

if TYPE_CHECKING:
    from rest_framework.request import Request

    from inference.api.usage.response import UsageList


def _sums(request: Request) -> UsageList:
    return usage_list(request, bounded_to=None)


class AdminUsageView(AdminView):
    """GET /v1/usage by the name that the other routes of administrators have."""

    on = {"GET": _sums}
    get = answering(about.sum_usage)
