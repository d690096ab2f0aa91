"""HTTP responses: JSON objects and event streams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse, StreamingHttpResponse

from inference.api.streaming import sse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


def json_response(
    payload: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return the payload as a JSON answer."""
    # An error message may quote half a surrogate pair from a request; it becomes a
    # question mark, not a second error.
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return HttpResponse(
        text.encode("utf-8", "replace"),
        status=status,
        content_type="application/json",
        headers=headers,
    )


class EventStreamResponse(StreamingHttpResponse):
    """A stream of events, one after the other.

    Django's iterator wraps the generator in two more. Closing the outermost would leave
    the generator's ``finally``, which frees the sequences of a disconnected client, to
    the garbage collector.
    """

    is_async = True

    def __init__(
        self, events: AsyncIterator[bytes], content_type: str = sse.CONTENT_TYPE
    ) -> None:
        super().__init__(
            events,
            content_type=content_type,
            headers={
                "Cache-Control": "no-cache",
                # Without this, nginx holds the events back until its buffer is full.
                "X-Accel-Buffering": "no",
            },
        )

    @property
    def streaming_content(self) -> AsyncIterator[bytes]:
        """The events; middleware may replace them."""
        return self._events

    @streaming_content.setter
    def streaming_content(self, events: AsyncIterator[bytes]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._events
