"""What a key may do, and with which models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.permissions import BasePermission

from accounts.errors import ApiKeyMissing, RouteClosed, ScopeMissing
from accounts.models import ApiKey, Scope

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


class HasScope(BasePermission):
    """Lets a request in whose key has the view's ``required_scope``.

    A view that declares none is closed: who may call is always said, never
    forgotten. Without a key, and only if the configuration asks for none, the
    views of scope "inference" are open.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return True. Raises RouteClosed, ApiKeyMissing or ScopeMissing."""
        scope = getattr(view, "required_scope", None)
        if scope is None:
            raise RouteClosed
        if not isinstance(request.auth, ApiKey):
            if scope == Scope.INFERENCE and not settings.AUTH_REQUIRED:
                return True
            raise ApiKeyMissing
        if not request.auth.has_scope(scope):
            raise ScopeMissing(scope)
        return True


def allowed_model_ids(key: ApiKey | None) -> frozenset[int] | None:
    """Return the models (primary keys) that a key may use, or None for all of them.

    One query, and none without a key, nor for one that was just presented.
    """
    if key is None:
        return None
    return frozenset(model.pk for model in key.allowed_models.all()) or None
