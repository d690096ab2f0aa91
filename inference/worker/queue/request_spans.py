"""The spans of a worker's requests: how long each waits, and what the model does.

They are below the span of the web process, and made of the events that it gets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.output import PoolingOutput, SequenceOutput
from inference.engine.request import GenerationRequest, PoolingRequest
from inference.engine.sequence import FinishReason
from inference.transport.messages.events import Accepted, Refused, Released
from llm_manager.lib.tracing.spans import begin_below, fail, is_sampled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Span

    from inference.transport.messages.events import Event
    from inference.transport.messages.requests import QueuedRequest
    from inference.worker.node_pipe import WorkerSpec


@dataclass
class _Open:
    """The span of a sequence, and that of the phase that it is in."""

    sequence: Span
    phase: Span
    is_prefill: bool = False

    def enter(self, phase: str) -> None:
        """End the phase and begin another one."""
        self.phase.end()
        self.phase = begin_below(self.sequence, phase)
        self.is_prefill = phase == "prefill"

    def end(self) -> None:
        """End both."""
        self.phase.end()
        self.sequence.end()


class RequestSpans:
    """Spans of the requests that are in this worker and belong to a trace."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._attributes: dict[str, str | int] = {
            "llm_manager.model": spec.model_name,
            "llm_manager.node": spec.node,
            "llm_manager.replica": spec.replica,
        }
        self._open: dict[str, _Open] = {}

    def begin(self, queued: QueuedRequest) -> None:
        """Begin the spans of a request, which has waited in the queue."""
        request, origin = queued.request, queued.trace
        if origin is None or not is_sampled(origin.traceparent):
            return
        if request.request_id in self._open:
            return
        if not isinstance(request, GenerationRequest | PoolingRequest):
            return
        # Clocks of two machines differ: nothing ends before it begins.
        since = min(origin.queued_at, time.time())
        kind = "sequence" if isinstance(request, GenerationRequest) else "pooling"
        sequence = begin_below(
            origin.traceparent, kind, at=since, attributes=self._attributes
        )
        queue = begin_below(sequence, "queue", at=since)
        queue.add_event("taken")
        self._open[request.request_id] = _Open(sequence, queue)

    def observe(self, event: Event) -> None:
        """Note what happens to a request."""
        spans = self._open.get(event.request_id)
        if spans is None:
            return
        if isinstance(event, SequenceOutput | PoolingOutput):
            self._note_output(spans, event)
        elif isinstance(event, Accepted):
            more = {"llm_manager.position": event.position}
            spans.phase.add_event("accepted", more)
        elif isinstance(event, Refused):
            fail(spans.sequence, event.code)
        elif isinstance(event, Released):
            spans.sequence.set_attribute("llm_manager.finish_reason", "released")
        if event.is_last or isinstance(event, Released):
            self._open.pop(event.request_id).end()

    def end(self, request_ids: Iterable[str]) -> None:
        """End the spans of requests for which nobody waits any more."""
        for request_id in request_ids:
            spans = self._open.pop(request_id, None)
            if spans is not None:
                aborted = FinishReason.ABORTED
                spans.sequence.set_attribute("llm_manager.finish_reason", aborted)
                spans.end()

    def _note_output(self, spans: _Open, event: SequenceOutput | PoolingOutput) -> None:
        if event.is_start:
            spans.enter("prefill")
            spans.phase.set_attributes(
                {
                    "llm_manager.prompt_tokens": event.num_prompt,
                    "llm_manager.cached_tokens": event.num_cached,
                }
            )
        if isinstance(event, SequenceOutput):
            if event.tokens and spans.is_prefill:
                spans.enter("decode")
            if event.is_last:
                number = event.num_output
                spans.phase.set_attribute("llm_manager.output_tokens", number)
        reason = event.finish_reason
        if reason is None:
            return
        spans.sequence.set_attribute("llm_manager.finish_reason", reason)
        if reason is FinishReason.FAILED:
            fail(spans.sequence, event.code)
