"""Answers as bytes: JSON objects and event streams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse, StreamingHttpResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


def json_response(
    payload: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return the payload as a JSON answer."""
    # An error message may quote half a surrogate pair from a request; what is
    # no Unicode text becomes a question mark instead of a second error.
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return HttpResponse(
        text.encode("utf-8", "replace"),
        status=status,
        content_type="application/json",
        headers=headers,
    )


class EventStreamResponse(StreamingHttpResponse):
    """A stream of server-sent events, iterated without a layer in between.

    Django's own iteration wraps the generator in two more. Then closing the
    response closes the outermost only, and the generator's ``finally``, which
    frees the sequences of a client that has gone, waits for the garbage
    collector.
    """

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        super().__init__(
            content,
            content_type="text/event-stream; charset=utf-8",
            headers={
                "Cache-Control": "no-cache",
                # nginx would hold the events back until its buffer is full.
                "X-Accel-Buffering": "no",
            },
        )

    def __aiter__(self) -> AsyncIterator[bytes]:
        iterator: AsyncIterator[bytes] = self._iterator  # type: ignore[attr-defined]
        return iterator
