"""Answers 404 in JSON for unknown paths under /v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from rest_framework.exceptions import NotFound

from inference.api.errors import quote
from inference.api.view import OpenView

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request


class UnknownRouteView(OpenView):
    """Any method on any path; not in /openapi.json."""

    schema = None

    def get_handler(self, method: str) -> Callable[..., Any]:
        """Return the same handler for every method."""
        return self.get

    async def get(self, request: Request, prepared: None) -> NoReturn:
        """Raise NotFound."""
        path = quote(request.path)
        raise NotFound(f"There is no route {request.method} {path}.", "unknown_url")
