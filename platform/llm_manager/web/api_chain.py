"""The API's way through Django: its routes, its middleware, its views."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.exception import convert_exception_to_response
from django.urls import Resolver404, URLResolver, get_resolver
from django.utils.module_loading import import_string

from inference.api.view import ApiView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from django.urls import ResolverMatch

    GetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


#: Longer paths are no routes that many ask for.
_MAX_REMEMBERED_LENGTH = 256


def find_route(path: str) -> ResolverMatch | None:
    """Return the route of a path, or None if it has none."""
    resolver = get_resolver(settings.ROOT_URLCONF)
    try:
        if len(path) > _MAX_REMEMBERED_LENGTH:
            return resolver.resolve(path)
        return _resolve(resolver, path)
    except Resolver404:
        return None


@lru_cache(maxsize=1024)
def _resolve(resolver: URLResolver, path: str) -> ResolverMatch:
    """Return the route of a path. Raises Resolver404, which is not remembered."""
    return resolver.resolve(path)


def is_api(match: ResolverMatch | None) -> bool:
    """Return whether a route leads to a view of the API."""
    view = getattr(match and match.func, "view_class", None)
    return isinstance(view, type) and issubclass(view, ApiView)


def api_chain() -> GetResponse:
    """Return what answers a request of the API whose route is found.

    Builds the chain of ``settings.API_MIDDLEWARE`` as Django builds that of
    ``MIDDLEWARE``. All of it must be asynchronous, so that nothing goes to a thread.
    Raises ImproperlyConfigured.
    """
    view_hooks: list[Callable[..., HttpResponseBase | None]] = []

    async def call_view(request: HttpRequest) -> HttpResponseBase:
        match: Any = request.resolver_match
        for hook in view_hooks:
            response = hook(request, match.func, match.args, match.kwargs)
            if response is not None:
                return response
        answer: HttpResponseBase = await match.func(
            request, *match.args, **match.kwargs
        )
        return answer

    chain: Any = call_view
    for name in reversed(settings.API_MIDDLEWARE):
        chain = import_string(name)(chain)
        if not iscoroutinefunction(chain):
            raise ImproperlyConfigured(f"API_MIDDLEWARE: {name} is not asynchronous.")
        if hasattr(chain, "process_view"):
            view_hooks.insert(0, chain.process_view)
    return cast("GetResponse", convert_exception_to_response(chain))
