"""What a key may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from django.conf import settings
from rest_framework.permissions import BasePermission

from accounts.errors import (
    ApiKeyMissing,
    InvalidApiKey,
    KeyNeeded,
    RouteClosed,
    ScopeMissing,
)
from accounts.keys.authentication import presented_key
from accounts.limits.throttling import count_failure
from accounts.models import ApiKey, Scope
from accounts.session_access import SessionAccess

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


def _refuse(request: Request) -> NoReturn:
    """Raise ApiKeyMissing, or KeyNeeded for a session.

    For a wrong key it raises InvalidApiKey or RateLimited.
    """
    if isinstance(request.auth, SessionAccess):
        raise KeyNeeded
    if presented_key(request) is not None:
        count_failure(request)
        raise InvalidApiKey
    raise ApiKeyMissing


class HasKey(BasePermission):
    """Allows a request of any key: for what shows a key its own."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return True. Raises what a missing or a wrong key raises."""
        if not isinstance(request.auth, ApiKey):
            _refuse(request)
        return True


class HasScope(BasePermission):
    """Allows a request if its key has the view's ``required_scope``.

    A view without a ``required_scope`` is closed, so that none is open by mistake.
    If the configuration requires no key, requests without one, or with one that does
    not exist, may use the views of scope "inference". So may who is signed in.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return True. Raises RouteClosed, ScopeMissing, KeyNeeded or ApiKeyMissing.

        A wrong key that was taken for none counts as a failed authentication: then it
        raises InvalidApiKey or RateLimited.
        """
        scope = getattr(view, "required_scope", None)
        if scope is None:
            raise RouteClosed
        if not isinstance(request.auth, ApiKey):
            is_open = (
                isinstance(request.auth, SessionAccess) or not settings.AUTH_REQUIRED
            )
            if scope == Scope.INFERENCE and is_open:
                return True
            _refuse(request)
        if not request.auth.has_scope(scope):
            raise ScopeMissing(scope)
        return True
