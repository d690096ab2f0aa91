"""Spans, with W3C's headers for those of other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

_W3C = TraceContextTextMapPropagator()
#: The last character of W3C's flags says whether the trace is recorded.
_IS_SAMPLED = 1


def header_of(span: Span) -> str:
    """Return the header ``traceparent`` for the children of a span."""
    headers: dict[str, str] = {}
    _W3C.inject(headers, trace.set_span_in_context(span, Context()))
    return headers.get("traceparent", "")


def is_sampled(traceparent: str) -> bool:
    """Whether the spans of a header's trace are recorded."""
    return bool(traceparent) and bool(int(traceparent[-2:], 16) & _IS_SAMPLED)


def begin_below(
    parent: str | Span,
    name: str,
    *,
    at: float | None = None,
    kind: trace.SpanKind = trace.SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Span:
    """Begin a span below another one, or one of another process by its header.

    ``at`` is when, in seconds since the epoch; None is now.
    """
    if isinstance(parent, str):
        context = _W3C.extract({"traceparent": parent}, Context())
    else:
        context = trace.set_span_in_context(parent, Context())
    return trace.get_tracer("llm_manager").start_span(
        name,
        context=context,
        kind=kind,
        start_time=None if at is None else nanoseconds(at),
        attributes=attributes,
    )


def fail(span: Span, code: str) -> None:
    """Mark a span as failed, with the kind of the error and nothing else."""
    span.set_attribute("error.type", code or "_OTHER")
    span.set_status(trace.StatusCode.ERROR)


def nanoseconds(seconds: float) -> int:
    """Return a time as OpenTelemetry counts it."""
    return int(seconds * 1e9)
