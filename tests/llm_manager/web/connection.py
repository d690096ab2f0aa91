"""One request to the project's ASGI application, as Daphne brings it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from asgiref.testing import ApplicationCommunicator

from llm_manager.web.asgi import application

#: It has no types.
_communicator: Any = ApplicationCommunicator


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's value."""
        return json.loads(self.body)


class Connection:
    """A request, sent and answered step by step."""

    def __init__(
        self,
        path: str,
        *,
        method: str = "GET",
        query: bytes = b"",
        secret: str | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> None:
        given = {
            "host": "localhost",
            "content-type": "application/json",
            "content-length": str(len(body)),
            **({} if secret is None else {"authorization": f"Bearer {secret}"}),
            **(headers or {}),
        }
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [
                (name.lower().encode(), value.encode("latin-1"))
                for name, value in given.items()
            ],
            "query_string": query,
            "http_version": "1.1",
            "scheme": "http",
        }
        self._body = body
        self._peer: Any = _communicator(application, scope)

    async def send(self) -> None:
        """Send the whole request."""
        await self._peer.send_input({"type": "http.request", "body": self._body})

    async def leave(self) -> None:
        """Disconnect, and wait until the application is done."""
        await self._peer.send_input({"type": "http.disconnect"})
        await self._peer.wait(5)

    async def start(self) -> Any:
        """Return the message with status and headers."""
        return await self._peer.receive_output(5)

    async def piece(self) -> bytes:
        """Return the next piece of the body."""
        body: bytes = (await self._peer.receive_output(5)).get("body", b"")
        return body

    async def rest(self) -> bytes:
        """Return what is left of the body, when the application is done."""
        body: bytes = b""
        while True:
            output = await self._peer.receive_output(5)
            body += output.get("body", b"")
            if not output.get("more_body"):
                await self._peer.wait(5)
                return body

    async def answer(self) -> Answer:
        """Send the request and return the whole answer."""
        await self.send()
        start = await self.start()
        headers = {n.decode().lower(): v.decode() for n, v in start["headers"]}
        return Answer(start["status"], headers, await self.rest())
