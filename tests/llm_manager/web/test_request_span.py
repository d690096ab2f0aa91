"""The span of a request of the API."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from llm_manager.lib.tracing.current import trace_id
from llm_manager.web.request_span import traced
from tests.spans import spans as spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def ask(
    status: int | None, *, header: str = "", url_name: str = "chat-completions"
) -> str:
    """Send a request; return the id of the trace that its answer belongs to."""
    seen = ""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal seen
        seen = trace_id()
        if status is None:
            raise RuntimeError("a secret")
        await send({"type": "http.response.start", "status": status})

    async def nothing(*arguments: Any) -> None:
        """Take what is sent."""

    match = SimpleNamespace(route="v1/chat/completions", url_name=url_name)
    headers = [(b"traceparent", header.encode()), (b"authorization", b"Bearer secret")]
    scope = {"method": "POST", "headers": headers, "resolver_match": match}
    await traced(application)(scope, nothing, nothing)  # type: ignore[arg-type]
    return seen


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    assert "secret" not in span.to_json()
    return span


async def test_the_trace_of_the_client_goes_on(spans: InMemorySpanExporter) -> None:
    assert await ask(200, header=f"00-{TRACE}-00f067aa0ba902b7-01") == TRACE
    span = only(spans)
    assert span.name == "POST /v1/chat/completions"
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert (span.attributes or {})["http.response.status_code"] == 200


@pytest.mark.parametrize(
    "header", ["", "00-x", f"00-{'0' * 32}-{'1' * 16}-01", "é" * 9]
)
async def test_without_a_valid_header_a_trace_begins(
    spans: InMemorySpanExporter, header: str
) -> None:
    seen = await ask(200, header=header)
    span = only(spans)
    assert span.parent is None
    assert f"{span.context.trace_id:032x}" == seen != TRACE


async def test_a_path_without_a_route_names_no_span(
    spans: InMemorySpanExporter,
) -> None:
    await ask(404, url_name="unknown")
    assert only(spans).name == "POST"


async def test_an_error_of_the_server_is_one_of_the_span(
    spans: InMemorySpanExporter,
) -> None:
    await ask(503)
    assert (only(spans).attributes or {})["error.type"] == "503"
    spans.clear()
    with pytest.raises(RuntimeError):
        await ask(None)
    assert (only(spans).attributes or {})["error.type"] == "RuntimeError"
