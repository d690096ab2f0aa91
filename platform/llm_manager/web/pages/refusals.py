"""The pages of refused requests: what went wrong, and the way on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib import admin
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views import defaults

from inference.api.failures import failure_of
from llm_manager.web.middleware.failures import failure_response

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    title: str
    sentence: str


_BAD_REQUEST = _Refusal(
    400, "Bad request", "The address or the form has a value that cannot be read."
)
_FORBIDDEN = _Refusal(
    403,
    "Not permitted",
    "Your account may not do this. An administrator can give it the permission, under "
    "Users or Groups.",
)
_EXPIRED = _Refusal(
    403,
    "Form expired",
    "The form was sent from another session, or without this site's cookies, so "
    "nothing was changed. Open the page again and repeat what you did. Behind a proxy, "
    "an administrator can check server.csrf_trusted_origins.",
)
_NOT_FOUND = _Refusal(
    404, "Page not found", "There is no page at this address. Was it deleted?"
)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that cannot be read."""
    return _page(request, _BAD_REQUEST) or _plain(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that the account has no permission for."""
    return _page(request, _FORBIDDEN) or defaults.permission_denied(request, exception)


def form_expired(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form without the session's token."""
    page = _page(request, _EXPIRED)
    return page or defaults.permission_denied(request, PermissionError(reason))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request for a page that does not exist."""
    return _page(request, _NOT_FOUND) or _plain(request, exception)


def _plain(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer outside the admin: in JSON, or to a browser by a page."""
    failure = failure_of(exception)
    accept = request.META.get("HTTP_ACCEPT", "")
    return failure_response(failure, accept, request.path, request.headers)


def _page(request: HttpRequest, refusal: _Refusal) -> HttpResponse | None:
    """Return the page of a refusal, or None outside the admin and users' own pages.

    A member of staff sees it with the sidebar; anyone else sees no more than the login
    page has.
    """
    if not request.path.startswith((reverse("admin:index"), reverse("account"))):
        return None
    if not hasattr(request, "user"):
        # It was refused before the session was read, which the admin's page needs.
        return None
    is_admin_page = request.path.startswith(reverse("admin:index"))
    is_staff = is_admin_page and admin.site.has_permission(request)
    return TemplateResponse(
        request,
        "admin/refused.html" if is_staff else "admin/refused_outside.html",
        {
            **admin.site.each_context(request),
            "title": refusal.title,
            "sentence": refusal.sentence,
        },
        status=refusal.status,
    ).render()
