"""What an error says, and its body in the shape of OpenAI's API.

Needs no rows: it also answers what goes wrong before Django is set up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NotRequired, TypedDict

from inference.api.responses import json_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpResponse

    from inference.load_progress import LoadProgress


class Loading(TypedDict):
    """How far the model is loaded, from 0 to 1, and the seconds left, if known."""

    progress: float
    seconds_left: int | None


class ErrorDetail(TypedDict):
    """What went wrong; ``loading`` if it is that the model is being loaded."""

    message: str
    type: str
    param: str | None
    code: str | None
    loading: NotRequired[Loading]


class ErrorBody(TypedDict):
    """The body of every error."""

    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as an HTTP error; ``limit_name`` is the limit that refused it."""

    status: int
    type: str
    code: str | None
    message: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    limit_name: str = ""
    loading: LoadProgress | None = None

    def body(self) -> ErrorBody:
        """Return the body in OpenAI's shape."""
        detail: ErrorDetail = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        if self.loading is not None:
            detail["loading"] = {
                "progress": round(self.loading.share, 2),
                "seconds_left": self.loading.seconds_left,
            }
        return {"error": detail}

    def response(self) -> HttpResponse:
        """Return the answer."""
        return json_response(self.body(), status=self.status, headers=self.headers)
