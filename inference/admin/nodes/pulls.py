"""Pulls in the admin: a button on a model's page, for each node that lacks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from inference.admin.nodes.drains import may_drain
from inference.errors import PullRefused
from inference.models import EngineNode
from inference.placing.pulls import node_pull
from registry.models import Model

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.urls import URLPattern


def pull_urls() -> list[URLPattern]:
    """Return the action, for the admin of nodes."""
    view = require_POST(admin.site.admin_view(_pull_view))
    return [path("pull/<int:model>/", view, name="inference_enginenode_pull")]


def _pull_view(request: HttpRequest, model: int) -> HttpResponse:
    """Let a node fetch a model, and go back to the model's page."""
    if not may_drain(request):
        raise PermissionDenied
    found = get_object_or_404(Model.objects.files(), pk=model)
    pk = request.POST.get("node", "")
    node = get_object_or_404(EngineNode, pk=pk if pk.isdecimal() else 0)
    try:
        downloads = node_pull(node=node, model=found)
    except PullRefused as error:
        messages.error(request, str(error))
    else:
        names = " and ".join(download.source for download in downloads)
        limit = node.pull_mb_per_s
        rate = f", at most {limit} MiB/s" if limit else ""
        messages.success(request, f"Requested: {names}{rate}.")
    return HttpResponseRedirect(reverse("admin:registry_model_change", args=[model]))
