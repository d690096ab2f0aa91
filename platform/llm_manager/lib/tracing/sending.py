"""Sends the spans of this process, in a thread of OpenTelemetry's own."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_manager.lib.machine.programs import product_version
from llm_manager.lib.tracing.choice import choice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace.export import SpanExporter

logger = logging.getLogger(__name__)

#: How long the end of a process waits for a collector to take the last spans.
_FLUSH_TIMEOUT_S = 2.0


@contextmanager
def spans_sent(process: str) -> Iterator[None]:
    """Send the spans that begin meanwhile, if the environment asks for it.

    ``process`` says what kind of process it is. At the end it waits for the collector,
    but not long.
    """
    exporter = choice().exporter
    if choice().fault:
        logger.warning("No traces are sent. %s", choice().fault)
    if not exporter:
        yield
        return
    from opentelemetry import trace
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = {
        "service.name": "llm-manager",
        "service.version": product_version(),
        "llm_manager.process": process,
    }
    # The variables come last: they may name the service otherwise.
    resource = Resource.create(own).merge(OTELResourceDetector().detect())
    # Samplers, limits and batches are set by variables, too: the SDK reads them.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter(exporter)))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        # The SDK's own time limit is not kept while a collector does not answer.
        flushing = threading.Thread(target=provider.force_flush, daemon=True)
        flushing.start()
        flushing.join(_FLUSH_TIMEOUT_S)


def _exporter(name: str) -> SpanExporter:
    exporter: SpanExporter
    match name:
        case "console":
            import sys

            from opentelemetry.sdk.trace.export import ConsoleSpanExporter

            # A worker's standard output belongs to its reports.
            exporter = ConsoleSpanExporter(out=sys.stderr)
        case "grpc":
            from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc

            exporter = grpc.OTLPSpanExporter()
        case _:
            from opentelemetry.exporter.otlp.proto.http import trace_exporter as http

            exporter = http.OTLPSpanExporter()
    return exporter
