"""The look of users' own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

if TYPE_CHECKING:
    from django.http import HttpRequest


def look(request: HttpRequest) -> dict[str, Any]:
    """Return what unfold's templates need, on pages below /account/."""
    if not request.path.startswith("/account/"):
        return {}
    return dict(admin.site.each_context(request))
