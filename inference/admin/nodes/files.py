"""The model files of a node, as it reports them: a page of the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_safe

from inference.models import EngineNode
from inference.placing.files import files_of

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

_VIEW = "inference.view_enginenode"


def files_urls() -> list[URLPattern]:
    """Return the page of a node's files, for the admin of nodes."""
    page = require_safe(admin.site.admin_view(_files_view))
    return [path("<int:pk>/files/", page, name="inference_enginenode_files")]


def _files_view(request: HttpRequest, pk: int) -> HttpResponse:
    if not request.user.has_perm(_VIEW):
        raise PermissionDenied
    node = get_object_or_404(EngineNode, pk=pk)
    files = list(files_of(node))
    context = {
        **admin.site.each_context(request),
        "title": f"Model files on {node}",
        "opts": EngineNode._meta,
        "node": node,
        "files": files,
        "size": sum(each.copy.size for each in files),
        "disks": [disk for disk in node.disks if disk["name"] == "models"],
        "back": reverse("admin:inference_worker_changelist"),
    }
    return TemplateResponse(request, "admin/inference/node_files.html", context)
