"""GET /v1/usage: what a key has used, or with the scope admin what all have used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from accounts.errors import ApiKeyMissing
from accounts.keys.permissions import HasKey
from accounts.models import Scope
from accounts.usage.summary import TooManyUsageRows, usage_summary
from inference.api.errors import BadRequest
from inference.api.model_access import key_of
from inference.api.openapi.operations import usage_schema
from inference.api.responses import json_response
from inference.api.usage.request import UsageParameters, usage_query
from inference.api.view import ApiView

if TYPE_CHECKING:
    from django.http import HttpResponse
    from rest_framework.request import Request

    from accounts.models import ApiKey
    from inference.api.usage.response import UsageList


def usage_list(request: Request, *, bounded_to: ApiKey | None) -> UsageList:
    """Return the sums that a request asks for: of a key, or with None of all keys.

    Two queries. Raises BadRequest and ScopeMissing.
    """
    parameters = UsageParameters.parse(request.query_params.dict())
    query = usage_query(parameters, bounded_to=bounded_to)
    try:
        data = usage_summary(query.period, query.by, **query.filters)
    except TooManyUsageRows as error:
        raise BadRequest(str(error), param="by") from None
    (total,) = usage_summary(query.period, (), **query.filters)
    return {
        "object": "usage",
        "since": query.period.since.isoformat(),
        "until": query.period.until.isoformat(),
        "time_zone": settings.CONFIG.usage.time_zone,
        "currency": settings.CONFIG.limits.currency,
        "by": list(query.by),
        "data": data,
        "total": total,
    }


class UsageView(ApiView):
    """GET /v1/usage."""

    permission_classes = [HasKey]

    def prepare(self, request: Request) -> UsageList:
        """Return the sums. Two queries. Raises BadRequest and ScopeMissing."""
        key = key_of(request)
        if key is None:
            raise ApiKeyMissing
        is_admin = key.has_scope(Scope.ADMIN)
        return usage_list(request, bounded_to=None if is_admin else key)

    @usage_schema
    async def get(self, request: Request, usage: UsageList) -> HttpResponse:
        """Return the sums of requests, tokens and cost."""
        return json_response(usage)
