"""Refuses addresses with a null character, which no database text may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, QueryDict
    from django.http.response import HttpResponseBase

_NULL = "\0"


class NullCharacterMiddleware:
    """Middleware of pages: 400 for a null character in the path, query or form.

    PostgreSQL fails on one, SQLite finds nothing; no page has a use for it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request."""
        return self._get_response(request)

    def process_view(
        self, request: HttpRequest, view: object, args: object, kwargs: object
    ) -> None:
        """Raise BadRequest before the page reads what it was sent."""
        # Here rather than above: the page that says so needs the session.
        if _NULL in request.path or _has_null(request.GET):
            raise BadRequest("The address has a null character.")
        if request.method == "POST" and _has_null(request.POST):
            raise BadRequest("The form has a null character.")


def _has_null(values: QueryDict) -> bool:
    return any(
        _NULL in text for name, found in values.lists() for text in (name, *found)
    )
