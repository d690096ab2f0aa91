"""The span of what a request asks of a model, by the conventions for generative AI.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. It has no text of
prompts or answers, and nothing of a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_manager.lib.request_id import request_id
from llm_manager.lib.tracing.current import traceparent
from llm_manager.lib.tracing.spans import begin_below, fail, header_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.api.streaming.token_counts import TokenCounts

#: The convention's names of what an endpoint does; others keep the endpoint's.
_OPERATIONS = {"chat-completions": "chat", "completions": "text_completion"}
_OK = 200


class RequestSpan:
    """A span from the moment a request goes to the workers; theirs are below it."""

    def __init__(
        self, endpoint: str, *, asked: str, model: str, is_stream: bool
    ) -> None:
        operation = _OPERATIONS.get(endpoint, endpoint)
        self._span = begin_below(
            traceparent.get(),
            f"{operation} {model}",
            attributes={
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": "llm_manager",
                "gen_ai.request.model": asked,
                "gen_ai.response.model": model,
                "gen_ai.request.stream": is_stream,
                "llm_manager.request_id": request_id.get(),
            },
        )
        traceparent.set(header_of(self._span))

    def end(
        self,
        status: int,
        *,
        code: str | None,
        counts: TokenCounts,
        reason: str,
        timing: Mapping[str, int | str],
    ) -> None:
        """End it with what was counted; ``code`` is that of a failure."""
        span = self._span
        span.set_attributes(
            {
                "gen_ai.usage.input_tokens": counts.prompt,
                "gen_ai.usage.cache_read.input_tokens": counts.cached,
                "gen_ai.usage.output_tokens": counts.completion,
                "gen_ai.usage.reasoning.output_tokens": counts.reasoning,
            }
        )
        if reason:
            span.set_attribute("gen_ai.response.finish_reasons", [reason])
        if "first_token_ms" in timing:
            seconds = float(timing["first_token_ms"]) / 1000
            span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)
        if status != _OK:
            fail(span, code or str(status))
        span.end()
