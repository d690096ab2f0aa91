"""Authentication by the API key that a request carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.authentication import BaseAuthentication

from accounts import key_secrets as keys
from accounts.errors import AddressNotAllowed, InvalidApiKey
from accounts.keys.key_access import key_fault
from accounts.keys.key_cache import cached_key
from accounts.keys.last_used import note_last_use
from accounts.keys.session import authenticate_session
from accounts.limits.throttling import count_failure, request_address
from accounts.models import ApiKey
from accounts.models.allowed_networks import is_within

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser
    from django.http import HttpRequest
    from rest_framework.request import Request

    from accounts.session_access import SessionAccess

#: Compared when the key does not exist, so that the answer takes as long.
_NO_HASH = "0" * 64


def presented_key(request: HttpRequest | Request) -> str | None:
    """Return the key of ``Authorization: Bearer`` or else ``X-API-Key``, or None."""
    scheme, _, credentials = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return str(credentials).strip()
    return request.META.get("HTTP_X_API_KEY", "").strip() or None


class BearerAuthentication(BaseAuthentication):
    """Finds the key by its prefix and compares its hash in constant time."""

    def authenticate(
        self, request: Request
    ) -> tuple[AbstractBaseUser, ApiKey | SessionAccess] | None:
        """Return the key's owner and the key, or None if none was presented.

        Without a key, return who is signed in, if a page of this server asks.

        Where no key is required, a key that does not exist counts as none: clients of
        OpenAI's API always send one. A key that exists keeps its scopes and limits,
        and is refused once it is revoked or expired. Raises InvalidApiKey,
        AddressNotAllowed, RateLimited when this client has failed too often, or what
        ``authenticate_session`` raises. Two queries, three with a team; none if the key
        is cached.
        """
        text = presented_key(request)
        if text is None:
            return authenticate_session(request)
        key = self._find(text)
        if key is None and not settings.AUTH_REQUIRED:
            return None
        if key is None or key_fault(key) is not None:
            count_failure(request)
            raise InvalidApiKey
        address = request_address(request)
        if key.allowed_networks and not is_within(address, key.allowed_networks):
            raise AddressNotAllowed(address)
        note_last_use(key, address)
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge, which makes the status 401 instead of 403."""
        return "Bearer"

    def _find(self, text: str) -> ApiKey | None:
        """Return the key that this is, usable or not; None if it does not exist."""
        prefix = keys.prefix_of(text)
        if prefix is None:
            return None
        try:
            key = cached_key(prefix)
        except ApiKey.DoesNotExist:
            key = None
        if not keys.matches(text, key.key_hash if key else _NO_HASH):
            return None
        return key
