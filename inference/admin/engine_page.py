"""The engine page of the admin: machines and workers, as they are now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse
from django.urls import path
from django.views.decorators.http import require_safe

from inference.admin.nodes.drains import may_drain
from inference.models import Worker
from inference.status import overview
from llm_manager.lib.unfold_types import ModelAdmin
from llm_manager.lib.written_rows import WrittenByServer
from registry.models import Model

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


@admin.register(Worker)
class EngineAdmin(WrittenByServer, ModelAdmin[Worker]):
    """One page of all machines and workers in place of the list of workers."""

    def get_urls(self) -> list[URLPattern]:
        """Return the page at the place of the list, and its refreshed part."""
        page = require_safe(self.admin_site.admin_view(self.engine_view))
        status = require_safe(self.admin_site.admin_view(self.status_view))
        return [
            path("", page, name="inference_worker_changelist"),
            path("status/", status, name="inference_worker_status"),
        ]

    def engine_view(self, request: HttpRequest) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Engine",
            "loadable": Model.objects.servable().files().filter(workers=None),
            **self._context(request),
        }
        return TemplateResponse(request, "admin/inference/engine.html", context)

    def status_view(self, request: HttpRequest) -> HttpResponse:
        """Return the part of the page that is refreshed every few seconds."""
        return TemplateResponse(
            request, "admin/inference/engine_status.html", self._context(request)
        )

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return {
            "engine": overview(),
            "may_drain": may_drain(request),
            "may_load": request.user.has_perm("registry.change_model"),
        }
