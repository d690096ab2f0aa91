"""An engine that answers every kind of request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.request import DetokenizationRequest, TokenizationRequest
from inference.transport.messages.events import Detokenized, Tokenized
from tests.fakes import FakeStream, accepted
from tests.inference.api.embedders import FakeEmbedderClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.engine.request import ModelRequest
    from inference.transport.messages.events import Event
    from inference.transport.queue import ModelQueue


class FakeWorkerClient(FakeEmbedderClient):
    """Writes, embeds and tokenizes: a token is a byte."""

    async def submit(
        self, request: ModelRequest, queue: ModelQueue, so_far: Sequence[Event] = ()
    ) -> FakeStream:
        """Take a request."""
        if not self.scripts and isinstance(request, TokenizationRequest):
            text = request.text.encode()
            pieces = tuple(bytes([byte]) for byte in text)
            self.enqueue([accepted(0), Tokenized("", tuple(text), pieces)])
        elif not self.scripts and isinstance(request, DetokenizationRequest):
            said = "".join(chr(token % 128) for token in request.tokens)
            self.enqueue([accepted(0), Detokenized("", said)])
        return await super().submit(request, queue, so_far)
