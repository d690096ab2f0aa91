"""POST /v1/responses and /v1/responses/input_tokens."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from inference.api.generation_view import GenerationView
from inference.api.model_access import caller_of
from inference.api.preparing.abilities import WRITES
from inference.api.responses import json_response
from inference.api.responses_api.body.request import InputTokensRequest, ResponseRequest
from inference.api.responses_api.descriptions import (
    input_tokens_schema,
    response_schema,
)
from inference.api.responses_api.output.response_format import new_response_id
from inference.api.responses_api.prepare import prepare_response
from inference.api.responses_api.storing import check_storing
from inference.api.tokens.view import PreparedTokenizing, TokenizingView, unloaded_paths
from inference.engine.request import TokenizationRequest
from inference.transport.stream import new_request_id

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.preparing.completion import PreparedCompletion


class ResponsesView(GenerationView):
    """POST /v1/responses."""

    def prepare(self, request: Request) -> PreparedCompletion:
        """Return the generation requests of a response, and its format."""
        body = ResponseRequest.parse(request.data)
        check_storing(body, self.left_out)
        self.recording.labels(body.metadata)
        return prepare_response(
            body,
            partial(self.find_model, request, ability=WRITES),
            caller_of(request),
            self.left_out,
            response_id=new_response_id(),
        )

    @response_schema
    async def post(
        self, request: Request, prepared: PreparedCompletion
    ) -> HttpResponseBase:
        """Answer the items of a conversation."""
        return await self.run(prepared)


class InputTokensView(TokenizingView):
    """POST /v1/responses/input_tokens."""

    def prepare(self, request: Request) -> PreparedTokenizing:
        """Return the request to a tokenizer. Raises BadRequest."""
        body = InputTokensRequest.parse(request.data)
        check_storing(body, self.left_out)
        model = self.find_model(request, body.model, WRITES)
        prepared = prepare_response(
            body,
            lambda _: model,
            caller_of(request),
            self.left_out,
            response_id=new_response_id(),
        )
        (generation,) = prepared.requests
        return PreparedTokenizing(
            TokenizationRequest(
                request_id=new_request_id(),
                text=generation.prompt,
                add_special_tokens=generation.add_special_tokens,
                parse_special=True,
            ),
            unloaded_paths(model),
        )

    @input_tokens_schema
    async def post(
        self, request: Request, prepared: PreparedTokenizing
    ) -> HttpResponseBase:
        """Count the tokens of a request."""
        tokenized = await self.answer(prepared)
        return json_response(
            {
                "object": "response.input_tokens",
                "input_tokens": len(tokenized.tokens),
            }
        )
