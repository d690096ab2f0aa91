"""POST /v1/completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.completions.request import CompletionRequest
from inference.api.context_check import check_length
from inference.api.generation_view import (
    GenerationView,
    PreparedCompletion,
    answer_header,
    generation_requests,
)
from inference.api.model_access import WRITES
from inference.api.openapi.operations import completion_schema
from inference.api.parameters.grammar import grammar_of
from inference.api.streaming.formats import TextFormat
from inference.api.worker_view import queue_of
from inference.errors import RequestRejected

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request


class CompletionsView(GenerationView):
    """POST /v1/completions."""

    def prepare(self, request: Request) -> PreparedCompletion:
        """Return the generation requests of a completion, and its answer's format."""
        body = CompletionRequest.parse(request.data)
        model = self.find_model(request, body.model, WRITES)
        check_length(body.prompts, model, "prompt")
        if body.suffix and not model.supports_infill:
            raise RequestRejected(
                f"'suffix' is not supported: the model '{model.name}' has no tokens to "
                "fill in a middle.",
                code="unsupported_parameter",
                param="suffix",
            )
        sampling = {**body.sampling(), "grammar": grammar_of(body, self.left_out)}
        return PreparedCompletion(
            requests=generation_requests(
                body.prompts,
                request,
                body,
                model=model,
                sampling=sampling,
                max_tokens=None if body.max_tokens == -1 else body.max_tokens,
                add_special_tokens=True,
                suffix=body.suffix,
                echo=body.echo,
            ),
            queue=queue_of(model),
            format=TextFormat(
                answer_header("cmpl", model, body),
                include_usage=body.include_usage,
                with_logprobs=body.logprobs is not None,
                prompts=(
                    [each for each in body.prompts for _ in range(body.n)]
                    if body.echo
                    else ()
                ),
            ),
            body=body,
        )

    @completion_schema
    async def post(
        self, request: Request, prepared: PreparedCompletion
    ) -> HttpResponseBase:
        """Continue one text or several."""
        return await self.run(prepared)
