"""The page that deletes a model with its files, and says before what breaks by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from inference.model_deletion import (
    DeletionRefused,
    deletion_effects,
    model_delete_files,
)
from llm_manager.lib.units import human_bytes

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from llm_manager.lib.unfold_types import ModelAdmin
    from registry.models import Model


def deletion_view(
    request: HttpRequest, model: Model, model_admin: ModelAdmin[Model]
) -> HttpResponse:
    """Ask whether to delete a model with its files (GET), or delete it (POST)."""
    if not model_admin.has_delete_permission(request, model):
        raise PermissionDenied
    if request.method == "POST":
        return _delete(request, model, model_admin)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"Delete {model.name}",
        "original": model,
        "opts": model._meta,
        "effects": deletion_effects(model),
        "back": reverse("admin:registry_model_change", args=[model.pk]),
    }
    return TemplateResponse(request, "admin/registry/model/delete_files.html", context)


def _delete(
    request: HttpRequest, model: Model, model_admin: ModelAdmin[Model]
) -> HttpResponse:
    pk, name = model.pk, model.name
    by = f"the administrator {request.user.get_username()}"
    try:
        gone = model_delete_files(model=model, by=by, is_confirmed=True)
    except DeletionRefused as error:
        model_admin.message_user(request, str(error), messages.WARNING)
        is_there = type(model).objects.filter(pk=pk).exists()
        target = (
            reverse("admin:registry_model_delete_files", args=[pk])
            if is_there
            else reverse("admin:registry_model_changelist")
        )
        return HttpResponseRedirect(target)
    said = f"{name} is deleted, and {human_bytes(gone.size)} are free. {gone.kept}"
    model_admin.message_user(request, said.strip(), messages.SUCCESS)
    return HttpResponseRedirect(reverse("admin:registry_model_changelist"))
