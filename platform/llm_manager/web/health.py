"""GET /health: whether this web process answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from inference.api.openapi.operations import health_schema
from inference.api.responses import json_response
from inference.api.view import OpenView

if TYPE_CHECKING:
    from django.http import HttpResponse
    from rest_framework.request import Request


class Health(TypedDict):
    """The web process answers."""

    status: Literal["ok"]


class HealthView(OpenView):
    """GET /health."""

    @health_schema
    async def get(self, request: Request, prepared: None) -> HttpResponse:
        """Answer, without asking any other part."""
        answer: Health = {"status": "ok"}
        return json_response(answer)
