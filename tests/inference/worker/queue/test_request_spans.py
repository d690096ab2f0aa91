"""The spans of a worker's requests, made of what it answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from inference.engine.output import PoolingOutput, SequenceOutput
from inference.engine.request import (
    GenerationRequest,
    PoolingRequest,
    TokenizationRequest,
)
from inference.engine.sampling.params import SamplingParams
from inference.engine.sequence import FinishReason
from inference.transport.messages.events import Accepted, Refused, Released
from inference.transport.messages.requests import QueuedRequest, TraceOrigin
from inference.worker.queue.request_spans import RequestSpans
from tests.spans import spans as spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    from inference.engine.request import ModelRequest

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Spec:
    """What the spans say of their worker."""

    model_name = "tiny"
    node = "box"
    replica = 1


def queued(request: ModelRequest, *, flags: str = "01") -> QueuedRequest:
    origin = TraceOrigin(f"00-{TRACE}-{PARENT}-{flags}", time.time() - 2)
    return QueuedRequest(request, "web", time.time() + 60, origin)


def generation() -> GenerationRequest:
    return GenerationRequest("r1", [], SamplingParams(), prompt="a secret prompt")


def output(**more: Any) -> SequenceOutput:
    return SequenceOutput("r1", num_prompt=9, num_output=3, num_cached=4, **more)


@pytest.fixture
def made() -> RequestSpans:
    return RequestSpans(Spec())  # type: ignore[arg-type]


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def test_a_sequence_has_its_phases_one_after_the_other_below_the_web_process(
    made: RequestSpans, spans: InMemorySpanExporter
) -> None:
    made.begin(queued(generation()))
    made.observe(Accepted("r1", 9, position=2))
    made.observe(output(is_start=True))
    made.observe(output(tokens=(1,), text="a"))
    made.observe(output(tokens=(2,), text="b", finish_reason=FinishReason.STOP))

    found = by_name(spans)
    sequence = found["sequence"]
    assert sequence.parent is not None
    assert f"{sequence.parent.span_id:016x}" == PARENT
    assert f"{sequence.context.trace_id:032x}" == TRACE
    assert dict(sequence.attributes or {}) == {
        "llm_manager.model": "tiny",
        "llm_manager.node": "box",
        "llm_manager.replica": 1,
        "llm_manager.finish_reason": "stop",
    }
    phases = [found[name] for name in ("queue", "prefill", "decode")]
    for phase in phases:
        assert phase.parent is not None
        assert phase.parent.span_id == sequence.context.span_id
    assert all(phase.start_time and phase.end_time for phase in phases)
    assert phases[0].end_time <= phases[1].start_time  # type: ignore[operator]
    assert phases[1].end_time <= phases[2].start_time  # type: ignore[operator]
    waited = phases[0].end_time - phases[0].start_time  # type: ignore[operator]
    assert waited >= 2_000_000_000
    assert [event.name for event in phases[0].events] == ["taken", "accepted"]
    assert "secret" not in str([span.to_json() for span in spans.get_finished_spans()])


def test_a_request_for_vectors_has_no_decode(
    made: RequestSpans, spans: InMemorySpanExporter
) -> None:
    made.begin(queued(PoolingRequest("r1", ())))
    made.observe(PoolingOutput("r1", 5, is_start=True))
    made.observe(PoolingOutput("r1", 5, finish_reason=FinishReason.STOP))
    assert [*by_name(spans)] == ["queue", "prefill", "pooling"]


@pytest.mark.parametrize(
    ("event", "is_error"),
    [
        (Refused("r1", "queue_full", "The queue is full of 'secret' prompts."), True),
        (Released("r1"), False),
        (output(finish_reason=FinishReason.FAILED, error="x", code="failed"), True),
    ],
)
def test_what_ends_early_has_its_reason_and_no_text(
    made: RequestSpans, spans: InMemorySpanExporter, event: Any, *, is_error: bool
) -> None:
    made.begin(queued(generation()))
    made.observe(event)
    sequence = by_name(spans)["sequence"]
    assert sequence.status.is_ok != is_error
    assert ("error.type" in (sequence.attributes or {})) == is_error
    assert "secret" not in sequence.to_json()


def test_a_request_that_nobody_waits_for_ends_its_spans(
    made: RequestSpans, spans: InMemorySpanExporter
) -> None:
    made.begin(queued(generation()))
    made.end(["r1", "unknown"])
    attributes = by_name(spans)["sequence"].attributes or {}
    assert attributes["llm_manager.finish_reason"] == "aborted"


@pytest.mark.parametrize(
    "request_",
    [
        queued(generation(), flags="00"),
        QueuedRequest(generation(), "web", 0.0),
        queued(TokenizationRequest("r1", "a")),
    ],
    ids=["not sampled", "not traced", "only tokenized"],
)
def test_others_have_no_spans(
    made: RequestSpans, spans: InMemorySpanExporter, request_: QueuedRequest
) -> None:
    made.begin(request_)
    made.observe(output(finish_reason=FinishReason.STOP))
    assert spans.get_finished_spans() == ()
