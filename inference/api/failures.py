"""Converts exceptions to errors, by one table."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.db import DatabaseError
from django.http import Http404
from redis.exceptions import RedisError
from rest_framework import exceptions as drf

from accounts.errors import QuotaExceeded
from inference import errors as inference
from inference.api.error_shapes.failure import Failure
from inference.api.errors import (
    BadRequest,
    BodyTooLarge,
    FailedDependency,
    IdempotencyConflict,
    IdempotencyKeyInUse,
    RequestTooSlow,
    RowNotFound,
    ServerBusy,
)
from inference.model_deletion import DeletionRefused
from llm_manager.lib.errors import INVALID, LLMManagerError
from llm_manager.lib.file_names import without_folders
from llm_manager.lib.request_id import request_id
from registry.errors import ModelNotFound, ModelNotServed
from registry.hub.errors import BrokenConnection, DownloadFailed, NoSuchFile

if TYPE_CHECKING:
    from django.http import HttpResponse

logger = logging.getLogger(__name__)

#: Statuses from here on are this server's own failures, which may pass.
SERVER_ERROR = 500
#: How far the model is loaded, where that is why a request is not served.
LOADING_HEADER = "x-llm-manager-load-progress"
#: The default of Retry-After, in seconds.
RETRY_AFTER_S = 5
#: The same where what is in the way is gone within a moment.
BUSY_RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class _Row:
    """How a class of exceptions is answered.

    Where ``type``, ``code`` or ``message`` is None, the exception's own is used.
    ``retry`` is the Retry-After in seconds if the exception names none.
    """

    exception: type[Exception]
    status: int
    type: str | None = None
    code: str | None = None
    message: str | None = None
    retry: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


#: OpenAI's clients do not repeat a request whose answer has this header: it would fail
#: again, or load the model again that an administrator has just unloaded.
NO_RETRY = (("x-should-retry", "false"),)
#: The first row that matches is used.
_TABLE = (
    _Row(BodyTooLarge, 413),
    _Row(RequestTooSlow, 408),
    _Row(RowNotFound, 404),
    _Row(ServerBusy, 503, retry=BUSY_RETRY_AFTER_S),
    _Row(IdempotencyKeyInUse, 409, retry=BUSY_RETRY_AFTER_S),
    _Row(IdempotencyConflict, 409, headers=NO_RETRY),
    _Row(FailedDependency, 424),
    _Row(BadRequest, 400),
    _Row(NoSuchFile, 404),
    _Row(BrokenConnection, 502, "server_error"),
    _Row(DownloadFailed, 400),
    _Row(DeletionRefused, 409, headers=NO_RETRY),
    _Row(inference.RequestRejected, 400),
    _Row(ModelNotServed, 400, code="model_not_served"),
    _Row(ModelNotFound, 404, code="model_not_found"),
    _Row(inference.RequestTimeout, 408),
    _Row(inference.AnswerNotRead, 408),
    _Row(inference.QueueFull, 503, retry=RETRY_AFTER_S),
    _Row(inference.QueueTimeout, 503, retry=RETRY_AFTER_S),
    _Row(inference.ModelLoadFailed, 503, retry=RETRY_AFTER_S),
    _Row(inference.ModelUnloaded, 503, headers=NO_RETRY),
    _Row(inference.ModelStopped, 404),
    _Row(inference.RequestCancelled, 409, headers=NO_RETRY),
    _Row(inference.EngineUnavailable, 503, retry=RETRY_AFTER_S),
    _Row(inference.UpstreamBusy, 503, retry=RETRY_AFTER_S),
    _Row(inference.UpstreamTimeout, 504),
    _Row(inference.UpstreamFailed, 502),
    _Row(inference.InferenceError, 500),
    _Row(drf.NotAuthenticated, 401),
    _Row(drf.AuthenticationFailed, 401),
    _Row(drf.PermissionDenied, 403, "permission_error"),
    _Row(QuotaExceeded, 429, "insufficient_quota", headers=NO_RETRY),
    _Row(drf.Throttled, 429, "rate_limit_error"),
    _Row(drf.MethodNotAllowed, 405),
    _Row(drf.UnsupportedMediaType, 415),
    _Row(drf.NotFound, 404),
    _Row(Http404, 404, code="not_found", message="There is nothing here."),
    _Row(
        DisallowedHost,
        400,
        code="host_not_allowed",
        message="This server does not answer to the host that the request names. Its "
        "administrator lists the names that it answers to in server.allowed_hosts.",
    ),
    _Row(SuspiciousOperation, 400, code="bad_request", message="The request is bad."),
    _Row(
        RedisError,
        503,
        "server_error",
        code="redis_unavailable",
        message="Redis cannot be reached.",
        retry=RETRY_AFTER_S,
    ),
    _Row(
        DatabaseError,
        503,
        "server_error",
        code="database_unavailable",
        message="The database cannot be used now.",
        retry=RETRY_AFTER_S,
    ),
)
_STATUS_TYPES = {429: "rate_limit_error"}


def failure_of(error: Exception) -> Failure:
    """Return the answer to an exception.

    An exception that is not in the table is a bug: it is logged, and the client sees
    only a status 500.
    """
    row = next((row for row in _TABLE if isinstance(error, row.exception)), None)
    if row is None and isinstance(error, drf.APIException):
        kind = _STATUS_TYPES.get(error.status_code, INVALID)
        row = _Row(drf.APIException, error.status_code, kind)
    if row is None:
        logger.error("Request %s failed", request_id.get(), exc_info=error)
        return Failure(
            status=500,
            type="server_error",
            code="internal_error",
            message="The server made an error; its log has the details.",
        )
    if row.status >= SERVER_ERROR:
        kind = type(error).__name__
        logger.warning("Request %s: %s: %s", request_id.get(), kind, error)
    return Failure(
        status=row.status,
        type=row.type or _type(error),
        code=row.code or _code(error),
        message=row.message or _message(error),
        param=getattr(error, "param", None),
        headers=_headers(error, row),
        loading=getattr(error, "loading", None),
        limit_name=getattr(error, "limit_name", ""),
    )


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """Return the answer to an exception of a view (EXCEPTION_HANDLER)."""
    failure = context["view"].failure = failure_of(error)
    response: HttpResponse = context["view"].failure_response(failure)
    if isinstance(error, drf.MethodNotAllowed):
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


def _type(error: Exception) -> str:
    return error.type if isinstance(error, LLMManagerError) else INVALID


def _code(error: Exception) -> str | None:
    if isinstance(error, drf.APIException):
        codes = error.get_codes()
        return codes if isinstance(codes, str) else error.default_code
    return getattr(error, "code", None)


def _message(error: Exception) -> str:
    if isinstance(error, drf.APIException):
        return str(error.detail)
    message = str(getattr(error, "message", None) or error)
    if isinstance(error, inference.ModelLoadFailed):
        return without_folders(message)
    return message


def _headers(error: Exception, row: _Row) -> dict[str, str]:
    headers = dict(row.headers)
    challenge = getattr(error, "auth_header", None)
    if challenge:
        headers["WWW-Authenticate"] = challenge
    wait = getattr(error, "retry_after", None) or getattr(error, "wait", None)
    if wait is None:
        wait = row.retry
    if wait is not None:
        headers["Retry-After"] = str(int(wait))
    loading = getattr(error, "loading", None)
    if loading is not None:
        headers[LOADING_HEADER] = f"{loading.share:.2f}"
    return headers
