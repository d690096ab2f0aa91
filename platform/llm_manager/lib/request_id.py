"""The id of the current request, for the response header and the log."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

_GOOD = re.compile(r"[\w.-]{1,128}", re.ASCII)

#: Set by the middleware; "-" outside of a request.
request_id: ContextVar[str] = ContextVar("request_id", default="-")


def request_id_begin(given: str) -> str:
    """Set and return the request's id: the client's if it is valid, else a new one."""
    chosen = given if _GOOD.fullmatch(given) else uuid.uuid4().hex
    request_id.set(chosen)
    return chosen
