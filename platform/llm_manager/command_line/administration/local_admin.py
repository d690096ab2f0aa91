"""``/v1/admin`` without a server: its own functions, on the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from llm_manager.command_line.exit_status import CommandFailed
from llm_manager.command_line.remote.api_client import meaning_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import QueryDict


@dataclass(frozen=True, slots=True)
class LocalRequest:
    """What the functions of ``/v1/admin`` read of a request; no key makes it."""

    method: str
    query_params: QueryDict
    data: dict[str, Any]
    base_url: str
    auth: None = field(default=None)

    def build_absolute_uri(self, path: str) -> str:
        """Return the address of a page of the server, when it runs."""
        return self.base_url + path


def on_database(base_url: str) -> Callable[[str, str, dict[str, Any] | None], Any]:
    """Return a function that answers as the server at this address would.

    Django is loaded. It checks no key: who reads the data directory may do all.
    """
    from django.http import QueryDict

    from inference.api.errors import BadRequest
    from llm_manager.web.api_chain import find_route

    def send(method: str, path: str, body: dict[str, Any] | None) -> Any:
        parts = urlsplit(path)
        request = LocalRequest(method, QueryDict(parts.query), body or {}, base_url)
        route: Any = find_route(unquote(parts.path))
        view = route.func.cls()
        view.kwargs = route.kwargs
        try:
            return view.prepare(request)
        except BadRequest as error:
            raise CommandFailed(str(error), meaning_of(error.status)) from None

    return send
