"""The span of a request of the API, from its first byte to its answer's last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import propagate, trace
from opentelemetry.context import Context

from llm_manager.lib.request_id import request_id
from llm_manager.lib.tracing.current import traceparent
from llm_manager.lib.tracing.spans import fail, header_of

if TYPE_CHECKING:
    from llm_manager.web.asgi_types import Application, Message, Receive, Scope, Send

_FIRST_SERVER_ERROR = 500
_NO_ROUTE = "unknown"


def traced(application: Application) -> Application:
    """Return the application with a span for each request.

    Its route is known. The trace of the client goes on, by the header that
    OTEL_PROPAGATORS names: W3C's ``traceparent`` unless it is set.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        match = scope["resolver_match"]
        # Of paths that have no route, none becomes a name.
        route = "" if match.url_name == _NO_ROUTE else f"/{match.route}"
        span = trace.get_tracer("llm_manager").start_span(
            f"{scope['method']} {route}".rstrip(),
            context=propagate.extract(headers, Context()),
            kind=trace.SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"],
                "http.route": route,
                "llm_manager.request_id": request_id.get(),
            },
        )
        traceparent.set(header_of(span))

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                span.set_attribute("http.response.status_code", status)
                if status >= _FIRST_SERVER_ERROR:
                    fail(span, str(status))
            await send(message)

        try:
            await application(scope, receive, send_and_note)
        except Exception as error:
            fail(span, type(error).__qualname__)
            raise
        finally:
            span.end()

    return answer
