"""The bodies of one request, if its key's capture is on. Without it, this is nothing.

Whatever goes wrong here, the client has its answer.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from django.conf import settings

from accounts.captures.writer import (
    Captured,
    capture_writer,
    redacted,
    redaction_in_force,
)
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from accounts.models import ApiKey

logger = logging.getLogger(__name__)

#: An event of a stream is so many times as long as its text.
_FRAMING = 64


class Capture:
    """What a request said, and its answer; ``id_`` is that of its row of usage."""

    def __init__(self, id_: str) -> None:
        self._id = id_
        self._key_id = 0
        self._request = ""
        self._is_request_cut = False
        self._answer: list[bytes] = []
        self._left = 0
        self._is_stream = self._is_cut = False

    @property
    def is_on(self) -> bool:
        """Whether there is something to capture."""
        return self._key_id != 0

    def caller_is(self, key: ApiKey) -> None:
        """Note whose request it is."""
        if key.is_captured:
            self._key_id = key.pk

    async def take_request(self, body: Any) -> None:
        """Keep the body of the request, redacted: its bytes, or its value."""
        try:
            self._request, self._is_request_cut = await in_thread(_redacted, body)
        except Exception as error:
            self._give_up(error)

    def answered(self, content: bytes) -> None:
        """Keep a whole answer; the first call counts."""
        if self.is_on:
            self._answer = [content]
            self.end()

    async def following(
        self, events: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the events of a stream, and keep the first of them."""
        self._is_stream = True
        self._left = settings.CONFIG.capture.max_kb * 1024 * _FRAMING
        try:
            async with aclosing(events):
                async for event in events:
                    if self._left > 0:
                        self._answer.append(event)
                        self._left -= len(event)
                    else:
                        self._is_cut = True
                    yield event
        finally:
            self.end()

    def end(self) -> None:
        """Have it written; the first call counts."""
        if not self.is_on:
            return
        captured = Captured(
            self._id,
            self._key_id,
            self._request,
            self._is_request_cut,
            tuple(self._answer),
            self._is_stream,
            self._is_cut,
        )
        self._key_id = 0
        self._answer = []
        capture_writer.put(captured)

    def drop(self) -> None:
        """Keep nothing."""
        self._key_id = 0

    def _give_up(self, error: Exception) -> None:
        # Not its text: that may have the body's.
        kind = type(error).__name__
        logger.warning("The bodies of %s are not captured: %s", self._id, kind)
        self.drop()


def _redacted(body: Any) -> tuple[str, bool]:
    redaction = redaction_in_force()
    return redacted(body, redaction), redaction.is_cut
