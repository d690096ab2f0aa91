"""The page that rotates a key: a new one takes its place, both work for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.admin.key_secret_page import created_page
from accounts.forms import RotateForm
from accounts.services import api_key_rotate

if TYPE_CHECKING:
    from accounts.models import ApiKey
    from llm_manager.lib.unfold_types import ModelAdmin


def rotate_view(
    admin: ModelAdmin[ApiKey], request: HttpRequest, object_id: str
) -> HttpResponse:
    """Ask for the grace period (GET), or rotate the key and show its secret (POST)."""
    if not (admin.has_add_permission(request) and admin.has_change_permission(request)):
        raise PermissionDenied
    key = admin.get_object(request, unquote(object_id))
    if key is None:
        raise Http404
    here = reverse("admin:accounts_apikey_change", args=[key.pk])
    if not key.is_usable:
        text = f"{key} is revoked or expired; create a key instead."
        admin.message_user(request, text, messages.INFO)
        return HttpResponseRedirect(here)
    form = RotateForm(request.POST or None, request=request)
    if form.is_valid():
        try:
            new, secret = api_key_rotate(
                key=key,
                grace=form.cleaned_data["grace"],
                by=request.user if isinstance(request.user, User) else None,
            )
        except ValidationError as error:
            form.reopen()
            form.add_error(None, error.messages)
        else:
            admin.log_addition(request, new, f"Rotated from {key}.")
            return created_page(admin, request, new, secret)
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "title": "Rotate",
        "opts": admin.opts,
        "key": key,
        "form": form,
        "back": here,
    }
    return TemplateResponse(request, "admin/accounts/apikey/rotate.html", context)
