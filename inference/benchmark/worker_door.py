"""Brings a benchmark's requests to a model's workers, as web processes do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from inference.benchmark.figures import MeasuredStream
from inference.engine.output import SequenceOutput
from inference.engine.request import GenerationRequest, TokenizationRequest
from inference.engine.sampling.params import SamplingParams
from inference.errors import EngineUnavailable
from inference.transport.messages.events import Accepted, Tokenized
from inference.transport.stream import new_request_id

if TYPE_CHECKING:
    from inference.transport.client import EngineClient
    from inference.transport.messages.events import Event
    from inference.transport.queue import ModelQueue


class WorkerDoor:
    """Brings requests to the model of a queue; ``node`` has answered the last one."""

    def __init__(self, client: EngineClient, queue: ModelQueue) -> None:
        self._client = client
        self._queue = queue
        self.node = ""

    async def tokens_of(self, text: str) -> list[int]:
        """Return the tokens of a text. Raises InferenceError."""
        request = TokenizationRequest(new_request_id(), text)
        stream = await self._client.submit(request, self._queue)
        try:
            while True:
                for event in await stream.events():
                    if isinstance(event, Tokenized):
                        return list(event.tokens)
        finally:
            await stream.aclose()

    async def stream(self, prompt: list[int], tokens: int) -> MeasuredStream:
        """Let the model write so many tokens after a prompt. Raises InferenceError."""
        request = GenerationRequest(
            new_request_id(),
            prompt,
            SamplingParams(max_tokens=tokens, ignore_eos=True),
        )
        asked_at = time.perf_counter()
        stream = await self._client.submit(request, self._queue)
        first_at = last_at = 0.0
        try:
            while True:
                for event in await stream.events():
                    if self._has_tokens(event):
                        last_at = time.perf_counter()
                        first_at = first_at or last_at
                    if event.is_last and isinstance(event, SequenceOutput):
                        return _measured(event, asked_at, first_at, last_at)
        finally:
            await stream.aclose()

    def _has_tokens(self, event: Event) -> bool:
        if isinstance(event, Accepted):
            self.node = event.node
        return isinstance(event, SequenceOutput) and bool(event.tokens)


def _measured(
    event: SequenceOutput, asked_at: float, first_at: float, last_at: float
) -> MeasuredStream:
    if last_at <= first_at:
        raise EngineUnavailable(
            "The model ended an answer early, so nothing is measured.", retry_after=1
        )
    return MeasuredStream(
        asked_at, first_at, last_at, event.num_prompt, event.num_output
    )
