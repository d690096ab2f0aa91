"""POST /v1/completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.completions.prepare import prepare_completion
from inference.api.completions.request import CompletionRequest
from inference.api.generation_view import GenerationView
from inference.api.model_access import caller_of
from inference.api.openapi.operations import completion_schema
from inference.api.preparing.abilities import WRITES
from registry.models import Api

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.forwarding.forwarded import Forwarded
    from inference.api.preparing.completion import PreparedCompletion


class CompletionsView(GenerationView):
    """POST /v1/completions."""

    api = Api.COMPLETIONS

    def prepare(self, request: Request) -> PreparedCompletion | Forwarded:
        """Return the generation requests of a completion, and its answer's format."""
        return self.aimed(
            request,
            CompletionRequest.parse(request.data),
            WRITES,
            lambda body, find_model: prepare_completion(
                body, find_model, caller_of(request), self.left_out
            ),
        )

    @completion_schema
    async def post(
        self, request: Request, prepared: PreparedCompletion | Forwarded
    ) -> HttpResponseBase:
        """Continue one text or several."""
        return await self.run(prepared)
