"""Middleware of pages: what they change is logged with the user who is signed in."""

from __future__ import annotations

import ipaddress
from functools import partial
from typing import TYPE_CHECKING

from django.contrib.auth.models import User

from accounts.audit.actor import Actor, acting
from accounts.limits.throttling import request_address
from accounts.secret_paths import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request


class AuditMiddleware:
    """Names the user of a page for the audit log."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request."""
        with acting(partial(_user_of_page, request)):
            return self._get_response(request)


def _user_of_page(request: HttpRequest) -> Actor:
    user = request.user if isinstance(request.user, User) else None
    name = "nobody" if user is None else user.get_username()
    return Actor(name, f"page {without_secrets(request.path)}", user, ip_of(request))


def ip_of(request: HttpRequest | Request) -> str:
    """Return the client's address as far as believed, or "" if it has none."""
    address = request_address(request)
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return ""
