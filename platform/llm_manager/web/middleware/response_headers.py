"""The headers that every answer has: the request's id, the time taken, the version."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from llm_manager.lib.request_id import request_id_begin

if TYPE_CHECKING:
    from llm_manager.web.asgi_types import Application, Message, Receive, Scope, Send

#: The version of OpenAI's API that these answers follow.
_OPENAI_VERSION = b"2020-10-01"


class ResponseHeaders:
    """ASGI middleware that gives each request an id and each answer three headers.

    The client's own id is kept if it is a good one.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        own_id = request_id_begin(_given_id(scope)).encode("ascii")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                elapsed_ms = round((time.perf_counter() - started) * 1000)
                headers = [
                    *message["headers"],
                    (b"x-request-id", own_id),
                    (b"openai-processing-ms", str(elapsed_ms).encode("ascii")),
                    (b"openai-version", _OPENAI_VERSION),
                ]
                message = {**message, "headers": headers}
            await send(message)

        await self._application(scope, receive, send_with_headers)


def _given_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            return given
    return ""
