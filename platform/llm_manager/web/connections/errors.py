"""Answers to what never reaches an application, in the shape of the client's API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.error_shapes.choice import response_in_shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpResponse

    from inference.api.error_shapes.failure import Failure


def refusal(
    failure: Failure, target: bytes, headers: Iterable[tuple[bytes, object]]
) -> HttpResponse:
    """Return the answer to a request with this target and these headers.

    Both may be known in part, or not at all.
    """
    names = {name.decode("latin-1").lower() for name, _ in headers}
    path = target.partition(b"?")[0].decode("latin-1")
    return response_in_shape(failure, path, names)


def raw(response: HttpResponse) -> bytes:
    """Return a whole answer as bytes, after which the connection is closed."""
    head = (
        f"HTTP/1.1 {response.status_code} {response.reason_phrase}\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(response.content)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode("ascii") + response.content
