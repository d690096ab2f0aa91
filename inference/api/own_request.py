"""Requests that this server makes of its own, for what its clients left with it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import resolve
from rest_framework.exceptions import AuthenticationFailed

from accounts.keys.key_access import key_fault, keys_with_access


class OwnRequest(HttpRequest):
    """A POST of JSON to a route of the API, as if its client sent it now.

    ``idle_only``: the workers answer it while they have nothing else. The answer is
    kept under the ``idempotency_key``.
    """

    def __init__(
        self,
        path: str,
        *,
        client_address: str,
        idempotency_key: str,
        idle_only: bool = False,
    ) -> None:
        super().__init__()
        self.method = "POST"
        self.path = self.path_info = path
        self.META = {
            "REMOTE_ADDR": client_address,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "CONTENT_TYPE": "application/json",
            "HTTP_IDEMPOTENCY_KEY": idempotency_key,
        }
        #: REST framework asks for it; the body is read through ``IncomingBody``.
        self._read_started = False
        self.resolver_match = resolve(path)
        self.idle_only = idle_only

    def get_host(self) -> str:
        """Return no host that could be refused."""
        return "localhost"


def key_of_id(key_id: int) -> Any:
    """Return the key that a client used; None for 0, which is none.

    Raises ApiKeyEnded, AuthenticationFailed.
    """
    if not key_id:
        return None
    key = keys_with_access().filter(pk=key_id).first()
    if key is None:
        raise AuthenticationFailed("The API key of this request was deleted.")
    fault = key_fault(key)
    if fault is not None:
        raise fault
    return key
