"""The errors of this package, as exceptions of Django REST framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework import status
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    PermissionDenied,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class AccountsError(Exception):
    """Base of every error of this package; ``default_code`` is its stable name."""


class InvalidApiKey(AccountsError, AuthenticationFailed):
    """The presented key cannot be used."""

    default_code = "invalid_api_key"
    # Begins like OpenAI's message: LiteLLM recognises a wrong key by these words.
    default_detail = (
        "Incorrect API key provided: it is unknown, revoked or expired, or its owner "
        "is inactive."
    )


class AddressNotAllowed(AccountsError, AuthenticationFailed):
    """The key may be used, but not from this address."""

    # OpenAI's code for this.
    default_code = "ip_not_authorized"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"The API key may not be used from the address {address}. Its owner or an "
            "administrator can change the networks that it is allowed from."
        )


class ApiKeyEnded(AccountsError, AuthenticationFailed):
    """Who sent a running request may no longer; ``reason`` says why."""

    def __init__(self, reason: str, code: str) -> None:
        super().__init__(f"{reason}, which ended this request.", code)


class ApiKeyMissing(AccountsError, NotAuthenticated):
    """A key is required and none was presented."""

    default_code = "invalid_api_key"
    default_detail = (
        "This request needs an API key: send the header 'Authorization: Bearer <key>'."
    )


class SessionEnded(AccountsError, AuthenticationFailed):
    """The session of a page is unknown or over, or its user is inactive."""

    default_code = "session_ended"
    default_detail = (
        "Your session has ended. Sign in again, in another tab if you like, and repeat "
        "this."
    )


class CsrfFailed(AccountsError, PermissionDenied):
    """A request with a session that no page of this server has sent."""

    default_code = "csrf_failed"
    default_detail = (
        "A session counts only for requests that a page of this server sends, with its "
        "CSRF token. Reload the page; programs use an API key."
    )


class PlaygroundNotAllowed(AccountsError, PermissionDenied):
    """The person who is signed in may not use models in the playground."""

    default_code = "playground_not_allowed"
    default_detail = (
        "You lack the permission 'accounts.use_playground' or are no staff user. An "
        "administrator can change that."
    )


class CaptureNotAllowed(AccountsError, PermissionDenied):
    """The owner of the key that asks may not capture bodies."""

    default_code = "capture_not_allowed"
    default_detail = (
        "The key's owner lacks the permission 'accounts.capture_apikey'. An "
        "administrator can change that."
    )


class KeyNeeded(AccountsError, PermissionDenied):
    """A session was sent to an endpoint that takes keys only."""

    default_code = "key_needed"
    default_detail = "This endpoint takes an API key, not a session."


class ScopeMissing(AccountsError, PermissionDenied):
    """The key is valid but lacks the scope for this."""

    default_code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"The API key lacks the scope '{scope}', which is required.")


class RouteClosed(AccountsError, PermissionDenied):
    """The view declares no scope, so nobody may call it."""

    default_code = "route_closed"
    default_detail = "This endpoint is closed: it declares no scope."


class ModelNotAllowed(AccountsError, PermissionDenied):
    """The key, or who is signed in, is restricted to other models."""

    default_code = "model_not_allowed"

    def __init__(self, name: str, *, is_session: bool = False) -> None:
        who, it = ("You", "you") if is_session else ("The API key", "it")
        super().__init__(
            f"{who} may not use the model '{name}'. "
            f"GET /v1/models lists the models that {it} may use."
        )


class TooManyUnknownKeys(AccountsError, APIException):
    """As many new keys of one address are being checked as may wait."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_unknown_keys"
    default_detail = (
        "Too many keys that are not known yet are tried from this address at once."
    )
    wait = 1


class TooManySequences(AccountsError, APIException):
    """A request that counts as more requests than a limit allows in all."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "too_many_sequences"

    def __init__(self, *, cost: int, limit: str) -> None:
        super().__init__(
            f"This request counts as {cost} requests, one for each answer to each "
            f"prompt, and the limit is {limit}. Ask for fewer answers at once."
        )


class TooManyTokens(AccountsError, APIException):
    """A request whose prompt has more tokens than a limit allows in all."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "too_many_tokens"

    def __init__(self, *, tokens: int, limit: str) -> None:
        super().__init__(
            f"The prompt of this request has {tokens:,} tokens or more, and the limit "
            f"is {limit}. Shorten it."
        )


class LimitReached(AccountsError, APIException):
    """A request that a limit refuses for now.

    ``wait`` are the seconds until it may be sent again, ``limit_name`` says which limit
    it is, ``headers`` what is left.
    """

    status_code = status.HTTP_429_TOO_MANY_REQUESTS

    def __init__(
        self,
        detail: str,
        *,
        wait: int,
        limit_name: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.wait = wait
        self.limit_name = limit_name
        self.headers = dict(headers or {})


class RateLimited(LimitReached):
    """More requests or tokens than a minute allows, or more requests at once."""

    default_code = "rate_limit_exceeded"


class QuotaExceeded(LimitReached):
    """More tokens or money than a day or a month allows."""

    default_code = "insufficient_quota"


class StorageFull(AccountsError, APIException):
    """An owner has as many bytes of files as may be kept."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "storage_full"

    def __init__(self, quota_mb: int) -> None:
        super().__init__(
            f"With this file you would keep more than {quota_mb} MiB, which is what "
            "this server keeps of one owner (files.quota_mb). Delete some: GET "
            "/v1/files lists them."
        )


class FileInUse(AccountsError, APIException):
    """A file that a batch still reads."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "file_in_use"

    def __init__(self, file_id: str, batch_id: str) -> None:
        super().__init__(
            f"The file '{file_id}' is the input of the batch '{batch_id}', which has "
            "not ended. Cancel that first."
        )


class TooManyBatches(AccountsError, APIException):
    """An owner has as many batches that have not ended as may be at once."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_batches"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"You have {most} batches that have not ended, which is the most "
            "(batches.max_open). Wait for one, or cancel one."
        )
