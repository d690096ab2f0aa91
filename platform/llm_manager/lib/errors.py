"""The base of the errors that callers of the API may catch."""

from __future__ import annotations

#: The API's type of an error that is the request's own fault.
INVALID = "invalid_request_error"


class LLMManagerError(Exception):
    """Something that was asked for is refused, or cannot be done.

    ``message`` is a sentence, ``code`` the API's stable name of the error, ``type`` the
    API's class of errors that it belongs to, ``param`` the path of the parameter at
    fault, if there is one.
    """

    code: str = "internal_error"
    type: str = "server_error"
    param: str | None = None

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message
