"""The body of a request that is still coming in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig

from inference.api.body.in_flight import FREE_BYTES, BodyBudget, body_budget
from inference.api.errors import BodyTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from django.http import HttpRequest


class IncomingBody:
    """A body that is read once the caller's headers are found good.

    Once it is read, ``data`` has its bytes; or ``value`` its value, if it was parsed
    elsewhere.
    """

    data = b""
    value: Any = None
    is_parsed = False
    #: Whether the client left before its request was complete.
    is_abandoned = False

    def __init__(
        self,
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        budget: BodyBudget | None = None,
    ) -> None:
        self._receive = receive
        self._budget = budget or body_budget()
        self._client = ""
        self._held = 0
        self._declared = 0
        self.was_read = asyncio.Event()

    @classmethod
    def of(cls, request: HttpRequest) -> IncomingBody:
        """Return a request's body.

        A request that Django's own handlers have made is complete already.
        """
        incoming: IncomingBody | None = getattr(request, "incoming_body", None)
        if incoming is None:

            async def receive() -> Mapping[str, Any]:
                try:
                    return {"type": "http.request", "body": request.body}
                except RequestDataTooBig:
                    raise BodyTooLarge(settings.DATA_UPLOAD_MAX_MEMORY_SIZE) from None

            incoming = cls(receive)
            request.incoming_body = incoming  # type: ignore[attr-defined]
        return incoming

    async def read(self, client: str, declared: int = 0) -> bytes:
        """Return the whole body.

        ``client`` is who is to answer for its size, ``declared`` its Content-Length.
        Raises BodyTooLarge, RequestTooSlow and ServerBusy; CancelledError if the client
        leaves.
        """
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if declared > limit:
            raise BodyTooLarge(limit)
        self._client = client
        await self._budget.begin(client, declared)
        self._declared = declared
        pieces: list[bytes] = []
        size = 0
        async for piece in self.pieces(limit):
            size += len(piece)
            self._hold(max(size - FREE_BYTES, 0))
            pieces.append(piece)
        return b"".join(pieces)

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        """Yield the body as it comes in, up to ``limit`` bytes.

        Raises BodyTooLarge and RequestTooSlow; CancelledError if the client leaves.
        """
        size = 0
        while not self.was_read.is_set():
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.is_abandoned = True
                raise asyncio.CancelledError
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise BodyTooLarge(limit)
            if not message.get("more_body"):
                self.was_read.set()
            yield piece

    def release(self) -> None:
        """Give the memory of the body back. Idempotent.

        The value is emptied: REST framework's request keeps it, and is in a circle of
        references, so it would stay until the garbage collector comes round.
        """
        if isinstance(self.value, dict | list):
            self.value.clear()
        self.data, self.value = b"", None
        self._budget.release(self._client, self._held)
        self._budget.end(self._client, self._declared)
        self._held = self._declared = 0

    def _hold(self, size: int) -> None:
        more = size - self._held
        if more:
            self._budget.hold(self._client, more)
            self._held = size
