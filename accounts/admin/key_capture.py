"""The page that switches the capture of a key's bodies on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.services import CAPTURE_HOURS, api_key_capture

if TYPE_CHECKING:
    from accounts.models import ApiKey
    from llm_manager.lib.unfold_types import ModelAdmin

_HOURS = {n: "one hour" if n == 1 else f"{n} hours" for n in CAPTURE_HOURS}


class CaptureForm(forms.Form):
    """For how long; nothing is captured for good."""

    hours = forms.TypedChoiceField(
        label="For",
        coerce=int,
        choices=list(_HOURS.items()),
        initial=1,
        widget=UnfoldAdminSelectWidget,
    )


def may_capture(request: HttpRequest) -> bool:
    """Return whether the user may switch it."""
    return request.user.has_perm("accounts.capture_apikey")


def capture_view(
    admin: ModelAdmin[ApiKey], request: HttpRequest, object_id: str
) -> HttpResponse:
    """Ask for how long (GET), or begin or end the capture (POST)."""
    if not (may_capture(request) and admin.has_view_permission(request)):
        raise PermissionDenied
    key = admin.get_object(request, unquote(object_id))
    if key is None:
        raise Http404
    here = reverse("admin:accounts_apikey_change", args=[key.pk])
    if not key.is_active:
        admin.message_user(request, f"{key} is revoked.", messages.INFO)
        return HttpResponseRedirect(here)
    user = request.user if isinstance(request.user, User) else None
    if request.method == "POST" and "end" in request.POST:
        api_key_capture(key=key, hours=None, by=user)
        text = f"The bodies of {key} are not captured any more."
        admin.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(here)
    form = CaptureForm(request.POST or None)
    if form.is_valid():
        hours = form.cleaned_data["hours"]
        api_key_capture(key=key, hours=hours, by=user)
        text = f"The bodies of {key} are captured for {_HOURS[hours]}."
        admin.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(here)
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "title": "Capture",
        "opts": admin.opts,
        "key": key,
        "form": form,
        "back": here,
        "capture": settings.CONFIG.capture,
    }
    return TemplateResponse(request, "admin/accounts/apikey/capture.html", context)
