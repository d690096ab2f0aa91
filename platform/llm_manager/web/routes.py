"""Which requests are the API's."""

from __future__ import annotations

from django.urls import Resolver404, ResolverMatch, resolve

from inference.api.view import ApiView


def api_match(path: str) -> ResolverMatch | None:
    """Return the API's view for a path, or None if it is for another part."""
    try:
        match = resolve(path)
    except Resolver404:
        return None
    view = getattr(match.func, "cls", None)
    return match if isinstance(view, type) and issubclass(view, ApiView) else None
