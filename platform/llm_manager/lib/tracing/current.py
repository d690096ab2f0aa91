"""The trace of the current request, for what crosses processes and for the log."""

from __future__ import annotations

from contextvars import ContextVar

#: W3C's header of the span that what follows belongs to; "" where nothing is traced.
traceparent: ContextVar[str] = ContextVar("traceparent", default="")


def trace_id() -> str:
    """Return the id of the current trace; "" where nothing is traced."""
    # version "-" trace "-" span "-" flags: https://www.w3.org/TR/trace-context/
    return traceparent.get()[3:35]
