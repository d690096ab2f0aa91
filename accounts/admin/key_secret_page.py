"""The page that shows the secret of a key, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.template.response import TemplateResponse

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from accounts.models import ApiKey
    from llm_manager.lib.unfold_types import ModelAdmin


def created_page(
    admin: ModelAdmin[ApiKey], request: HttpRequest, key: ApiKey, secret: str
) -> HttpResponse:
    """Return the page, as the answer to the form that created the key.

    A redirect would need the secret to be stored until the next request, in the
    session or in a cookie.
    """
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "title": "API key created",
        "opts": admin.opts,
        "key": key,
        "secret": secret,
        "base_url": request.build_absolute_uri("/v1"),
    }
    return TemplateResponse(request, "admin/accounts/apikey/created.html", context)
