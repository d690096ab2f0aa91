"""The errors of requests that are refused before they reach a model."""

from __future__ import annotations

from llm_manager.lib.errors import INVALID, LLMManagerError
from llm_manager.lib.quoting import quote


class BadRequest(LLMManagerError):
    """A request that is refused; ``param`` is the path of the field at fault."""

    type = INVALID
    status = 400

    def __init__(
        self, message: str, *, param: str | None = None, code: str = "invalid_value"
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class RowNotFound(BadRequest):
    """A key, team, user or limit that does not exist."""

    status = 404

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"There is no {kind} '{quote(name)}'.", code="not_found")


class BodyTooLarge(BadRequest):
    """A body of more bytes than the configuration allows."""

    status = 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The request's body is larger than {limit_bytes:,} bytes.",
            code="request_too_large",
        )


class RequestTooSlow(BadRequest):
    """A request that its client has not sent within the time it has."""

    type = "timeout_error"
    status = 408

    def __init__(self) -> None:
        super().__init__(
            "The request was not received within the time that it has "
            "(server.receive_timeout).",
            code="request_too_slow",
        )


class FailedDependency(BadRequest):
    """A server that the client wants to be asked has not answered as it should."""

    type = "external_connector_error"
    #: RFC 4918's failed dependency, as in OpenAI's API.
    status = 424


class IdempotencyConflict(BadRequest):
    """An ``Idempotency-Key`` under which this request cannot be answered."""

    status = 409


class IdempotencyKeyInUse(IdempotencyConflict):
    """An ``Idempotency-Key`` whose request is being answered now."""


class ServerBusy(LLMManagerError):
    """The server cannot take this request now; the same one may succeed soon."""

    code = "server_busy"
