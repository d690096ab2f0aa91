"""The health page of the admin: every part, and what is wrong first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_POST, require_safe

from inference.admin.attention import attention_of
from inference.admin.nodes.drains import drain_urls, may_drain
from inference.admin.nodes.files import files_urls
from inference.admin.nodes.pulls import pull_urls
from inference.health.facts import health_facts
from inference.health.findings import can_serve, health_findings
from inference.models import EngineNode
from llm_manager.lib.unfold_types import ModelAdmin
from llm_manager.lib.written_rows import WrittenByServer

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.urls import URLPattern

_DELETE = "inference.delete_enginenode"


@admin.register(EngineNode)
class HealthAdmin(WrittenByServer, ModelAdmin[EngineNode]):
    """One page of every part in place of the list of nodes."""

    def get_urls(self) -> list[URLPattern]:
        """Return the page at the place of the list, its refreshed part, and an action.

        A node that is lost for good can be forgotten, any node be drained; each has a
        page of its files.
        """
        view = self.admin_site.admin_view
        page = require_safe(view(self.health_view))
        status = require_safe(view(self.status_view))
        forget = require_POST(view(self.forget_view))
        return [
            path("", page, name="inference_enginenode_changelist"),
            path("status/", status, name="inference_enginenode_status"),
            path("forget/", forget, name="inference_enginenode_forget"),
            *drain_urls(),
            *files_urls(),
            *pull_urls(),
        ]

    def health_view(self, request: HttpRequest) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Health",
            **self._context(request),
        }
        return TemplateResponse(request, "admin/inference/health.html", context)

    def status_view(self, request: HttpRequest) -> HttpResponse:
        """Return the part of the page that is refreshed every few seconds."""
        return TemplateResponse(
            request, "admin/inference/health_status.html", self._context(request)
        )

    def forget_view(self, request: HttpRequest) -> HttpResponse:
        """Delete the row of a node without a heartbeat."""
        if not request.user.has_perm(_DELETE):
            raise PermissionDenied
        pk = request.POST.get("node", "")
        node = EngineNode.objects.filter(pk=pk if pk.isdecimal() else 0).first()
        if node is None:
            messages.info(request, "That node is not known.")
        elif node.is_alive:
            messages.error(request, f"{node} sends heartbeats: it was not forgotten.")
        else:
            # Its workers become free; an engine takes those that are still wanted.
            node.delete()
            messages.success(request, f"{node} was forgotten.")
        return HttpResponseRedirect(reverse("admin:inference_enginenode_changelist"))

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        facts = health_facts()
        waiting = {name: n for name, n in facts.redis.queues.items() if n}
        return {
            "facts": facts,
            "findings": [
                attention_of(each, request.user) for each in health_findings(facts)
            ],
            "can_serve": can_serve(facts),
            "queues": waiting,
            "engine": facts.overview,
            "may_drain": may_drain(request),
        }
