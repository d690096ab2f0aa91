"""Answers whatever an application raises before its answer has begun."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse

from inference.api.error_shapes.choice import response_in_shape
from inference.api.failures import failure_of

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from inference.api.error_shapes.failure import Failure
    from llm_manager.web.asgi_types import Application, Message, Receive, Scope, Send

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><p>{message}</p></body></html>
"""


class Failures:
    """ASGI middleware: an exception becomes an answer, as a view's would.

    Programs get the API's JSON; a browser, which asks for HTML, gets a page. What is
    raised in the middle of an answer goes on to the server, which cuts the connection.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        has_begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._application(scope, receive, send_and_note)
        except Exception as error:
            if has_begun:
                raise
            response = scope_refusal(failure_of(error), scope)
            headers = [
                (name.lower().encode("ascii"), value.encode("latin-1"))
                for name, value in response.items()
            ]
            status = response.status_code
            start = {"type": "http.response.start", "status": status}
            await send({**start, "headers": headers})
            await send({"type": "http.response.body", "body": response.content})


def scope_refusal(failure: Failure, scope: Mapping[str, Any]) -> HttpResponse:
    """Return a failure in the shape of the API of a request, given its scope."""
    names = {name.decode("latin-1") for name, _ in scope["headers"]}
    given = [value for name, value in scope["headers"] if name == b"accept"]
    accept = b",".join(given).decode("latin-1")
    return failure_response(failure, accept, scope["path"], names)


def failure_response(
    failure: Failure, accept: str, path: str, headers: Container[str]
) -> HttpResponse:
    """Return a failure as JSON, or as a page if the client is a browser.

    ``path`` and the names of ``headers`` say which API's shape the JSON has.
    """
    if "text/html" in accept:
        title = f"{failure.status} {HTTPStatus(failure.status).phrase}"
        page = _PAGE.format(title=title, message=escape(failure.message))
        response = HttpResponse(page, status=failure.status, headers=failure.headers)
    else:
        response = response_in_shape(failure, path, headers)
    response["Content-Length"] = str(len(response.content))
    response["X-Content-Type-Options"] = "nosniff"
    return response
