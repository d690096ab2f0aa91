"""What this package refuses: one exception a refusal, known to REST framework."""

from __future__ import annotations

from rest_framework import status
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    PermissionDenied,
)


class AccountsError(Exception):
    """Base of every refusal of this package; ``default_code`` is its stable name."""


class InvalidApiKey(AccountsError, AuthenticationFailed):
    """A key was presented, and it is none that may be used."""

    default_code = "invalid_api_key"
    # OpenAI's first words: LiteLLM tells a wrong key from a bad request by them.
    default_detail = (
        "Incorrect API key provided: it is unknown, revoked or expired, or its owner "
        "is inactive."
    )


class ApiKeyMissing(AccountsError, NotAuthenticated):
    """No key was presented where one is needed."""

    default_code = "invalid_api_key"
    default_detail = (
        "This request needs an API key: send the header 'Authorization: Bearer <key>'."
    )


class ScopeMissing(AccountsError, PermissionDenied):
    """The key is good, but not for this."""

    default_code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"The API key lacks the scope '{scope}', which this needs.")


class RouteClosed(AccountsError, PermissionDenied):
    """A view that says nothing about who may call it, so nobody may."""

    default_code = "route_closed"
    default_detail = "Nobody may call this: it declares no scope."


class ModelNotAllowed(AccountsError, PermissionDenied):
    """The key is restricted to other models."""

    default_code = "model_not_allowed"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The API key may not use the model '{name}'. "
            "GET /v1/models lists the models that it may use."
        )


class RateLimited(AccountsError, APIException):
    """More requests than the window allows; ``wait`` is what is left of it."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "rate_limit_exceeded"

    def __init__(self, *, limit: int, window_s: int, wait: int, what: str) -> None:
        super().__init__(
            f"Rate limit reached: {limit} {what} in {window_s} s. "
            f"Try again in {wait} s."
        )
        self.wait = wait
