"""The id of the request under way: told to the client, written to the log."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

_GOOD = re.compile(r"[\w.-]{1,128}", re.ASCII)

#: Set by the middleware; "-" outside of a request.
request_id: ContextVar[str] = ContextVar("request_id", default="-")


def request_id_begin(given: str) -> str:
    """Take the client's id if it is a good one, or make one; return it."""
    chosen = given if _GOOD.fullmatch(given) else uuid.uuid4().hex
    request_id.set(chosen)
    return chosen
