"""What verbs do with keys, teams and users: the calls of ``/v1/admin``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class AdminApi:
    """Calls ``/v1/admin``; each call returns the answer's JSON.

    ``send`` gets the method, the path with its query, and the body. Every call raises
    CommandFailed for what is refused.
    """

    send: Callable[[str, str, dict[str, Any] | None], Any]

    def get(self, *path: str, **query: str) -> Any:
        """GET."""
        asked = f"?{urlencode(query)}" if query else ""
        return self.send("GET", _path(path) + asked, None)

    def post(self, *path: str, body: dict[str, Any]) -> Any:
        """POST."""
        return self.send("POST", _path(path), body)

    def patch(self, *path: str, body: dict[str, Any]) -> Any:
        """PATCH."""
        return self.send("PATCH", _path(path), body)

    def delete(self, *path: str) -> Any:
        """DELETE."""
        return self.send("DELETE", _path(path), None)

    def all_of(self, kind: str, name: str, **query: str) -> Any:
        """Return a list of every object, page after page; ``name`` is their id."""
        found: list[Any] = []
        while True:
            after = {"after": found[-1][name]} if found else {}
            page = self.get(kind, limit=str(_PAGE), **query, **after)
            found += page["data"]
            if not page["has_more"]:
                return {**page, "data": found}


def given(**members: Any) -> dict[str, Any]:
    """Return the members of a body that were given, which None and () are not."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in members.items()
        if value not in (None, ())
    }


def _path(parts: tuple[str, ...]) -> str:
    return "/v1/admin/" + "/".join(quote(part, safe="") for part in parts)
