"""GET /: what this server is, and the ways on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse
from django.template.loader import render_to_string

from inference.api.openapi.operations import hidden
from inference.api.view import OpenView
from llm_manager import __version__
from llm_manager.web.docs import page_headers

if TYPE_CHECKING:
    from rest_framework.request import Request


class StartView(OpenView):
    """The first page: the admin, the API's documentation, the API's address."""

    @hidden
    async def get(self, request: Request, prepared: None) -> HttpResponse:
        """Return the page."""
        context = {
            "version": __version__,
            "base_url": request.build_absolute_uri("/v1"),
        }
        return HttpResponse(
            render_to_string("start.html", context), headers=page_headers()
        )
