"""GET /metrics: what Prometheus reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST

from accounts.models import Scope
from inference.api.openapi.operations import metrics_schema
from inference.api.view import ApiView
from inference.metrics.prometheus_page import metrics_text

if TYPE_CHECKING:
    from rest_framework.request import Request


class MetricsView(ApiView):
    """GET /metrics."""

    required_scope = Scope.ADMIN

    def prepare(self, request: Request) -> bytes:
        """Collect the metrics. One query."""
        return metrics_text()

    @metrics_schema
    async def get(self, request: Request, text: bytes) -> HttpResponse:
        """Return all metrics."""
        return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)
