"""The playground: chat with models in the admin, by the routes that clients use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from accounts.keys.session import PERMISSION

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest, HttpResponse


@dataclass(frozen=True, slots=True)
class _Field:
    """A parameter that is a number; ``default`` is that of models without one."""

    name: str
    label: str
    default: str
    step: str = "any"
    least: str = "0"
    most: str = ""


#: In the order of the page. Bounds are those of the API, which checks them.
_NUMBERS = (
    _Field("temperature", "Temperature", "", "0.1", most="2"),
    _Field("top_p", "Top p", "", "0.05", most="1"),
    _Field("top_k", "Top k", "0", "1", least="-1"),
    _Field("min_p", "Min p", "0", "0.01", most="1"),
    _Field("repeat_penalty", "Repeat penalty", "1", "0.05"),
    _Field("presence_penalty", "Presence penalty", "0", "0.1", least="-2", most="2"),
    _Field("frequency_penalty", "Frequency penalty", "0", "0.1", least="-2", most="2"),
    _Field("max_tokens", "Max tokens", "", "1", least="-1"),
    _Field("seed", "Seed", "random", "1", least=""),
    _Field("thinking_budget", "Thinking budget", "no limit", "1", least="-1"),
)
_EFFORTS = ("none", "minimal", "low", "medium", "high")


@require_safe
@ensure_csrf_cookie
def playground_view(request: HttpRequest) -> HttpResponse:
    """Return the page; ``?model=`` chooses one. Raises PermissionDenied."""
    user = cast("User", request.user)
    if not user.has_perm(PERMISSION):
        raise PermissionDenied
    may_view_usage = user.has_perm("accounts.view_usagerecord")
    context = {
        **admin.site.each_context(request),
        "title": "Playground",
        "numbers": _NUMBERS,
        "efforts": _EFFORTS,
        "model": request.GET.get("model", ""),
        "may_view_usage": may_view_usage,
    }
    return TemplateResponse(request, "admin/inference/playground.html", context)
