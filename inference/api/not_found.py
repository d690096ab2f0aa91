"""What is left of /v1: routes that there are not, told in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from rest_framework.exceptions import NotFound

from inference.api.errors import quote
from inference.api.view import OpenView

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request


class NothingView(OpenView):
    """Any method, any path; it is no part of the API's description."""

    schema = None

    def get_handler(self, method: str) -> Callable[..., Any]:
        """Return a handler for every method."""
        return self.get

    async def get(self, request: Request, prepared: None) -> NoReturn:
        """Say that there is nothing here. Raises NotFound."""
        path = quote(request.path)
        raise NotFound(f"There is no route {request.method} {path}.", "unknown_url")
