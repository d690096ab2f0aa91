"""Drains of nodes in the admin: the page that asks, and the end of a drain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_POST

from inference.models import EngineNode, Worker
from inference.placing.drains import (
    can_go_elsewhere,
    is_served_elsewhere,
    node_drain,
    node_undrain,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpResponse
    from django.urls import URLPattern

_PERMISSION = "inference.change_enginenode"


def may_drain(request: HttpRequest) -> bool:
    """Return whether the user may drain nodes."""
    return request.user.has_perm(_PERMISSION)


def drain_urls() -> list[URLPattern]:
    """Return the pages of drains, for the admin of nodes."""
    view = admin.site.admin_view
    asking = require_http_methods(["GET", "HEAD", "POST"])(view(_drain_view))
    return [
        path("<int:pk>/drain/", asking, name="inference_enginenode_drain"),
        path(
            "undrain/",
            require_POST(view(_undrain_view)),
            name="inference_enginenode_undrain",
        ),
    ]


def _drain_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether to drain a node (GET), or order it (POST)."""
    if not may_drain(request):
        raise PermissionDenied
    node = get_object_or_404(EngineNode, pk=pk)
    back = reverse("admin:inference_worker_changelist")
    if request.method == "POST":
        node_drain(node=node, is_now="now" in request.POST)
        messages.success(request, f"{node} is drained: its workers go elsewhere.")
        return HttpResponseRedirect(back)
    context = {
        **admin.site.each_context(request),
        "title": "Drain",
        "opts": EngineNode._meta,
        "node": node,
        "workers": list(_workers(node)),
        "back": back,
    }
    return TemplateResponse(request, "admin/inference/node_drain.html", context)


def _undrain_view(request: HttpRequest) -> HttpResponse:
    """Let a node take workers again."""
    if not may_drain(request):
        raise PermissionDenied
    pk = request.POST.get("node", "")
    node = get_object_or_404(EngineNode, pk=pk if pk.isdecimal() else 0)
    node_undrain(node=node)
    messages.success(request, f"{node} takes workers again.")
    return HttpResponseRedirect(reverse("admin:inference_worker_changelist"))


def _workers(node: EngineNode) -> Iterator[tuple[Worker, bool]]:
    """Yield a node's workers, and whether they can go to another node."""
    for worker in Worker.objects.filter(node=node).select_related("model"):
        model = worker.model
        yield worker, is_served_elsewhere(model, node) or can_go_elsewhere(model, node)
