"""POST /v1/responses/input_tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.errors import BadRequest
from inference.api.model_access import caller_of, owner_id_of
from inference.api.preparing.abilities import WRITES
from inference.api.responses import json_response
from inference.api.responses_api.body.request import InputTokensRequest
from inference.api.responses_api.body.translation import input_items
from inference.api.responses_api.descriptions import input_tokens_schema
from inference.api.responses_api.mcp.plan import plan_of
from inference.api.responses_api.output.response_format import new_response_id
from inference.api.responses_api.prepare import prepare_response
from inference.api.responses_api.store import rows
from inference.api.responses_api.storing import check_storing
from inference.api.tokens.view import (
    PreparedTokenizing,
    TokenizingView,
    paths_to_count,
)
from inference.engine.request import TokenizationRequest
from inference.transport.stream import new_request_id

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request


class InputTokensView(TokenizingView):
    """POST /v1/responses/input_tokens."""

    def prepare(self, request: Request) -> PreparedTokenizing:
        """Return the request to a tokenizer. Raises BadRequest."""
        body = InputTokensRequest.parse(request.data)
        context = rows.PriorItems()
        if rows.is_open():
            resolved, context = rows.context_of(body, owner_id_of(request))
            body = body.model_copy(update={"input": resolved.input})
        else:
            check_storing(body, self.left_out)
        plan = plan_of(
            body, context.before, input_items(body), caller=caller_of(request).key
        )
        if plan.unlisted():
            raise BadRequest(
                "The tokens of an MCP server's tools can be counted once 'input' has "
                "its 'mcp_list_tools', as an answer has it.",
                param="tools",
                code="unsupported_parameter",
            )
        model = self.find_model(request, body.model, WRITES)
        prepared = prepare_response(
            body,
            lambda _: model,
            caller_of(request),
            self.left_out,
            response_id=new_response_id(),
            before=context.before,
            plan=plan,
        )
        (generation,) = prepared.requests
        counted = TokenizationRequest(
            request_id=new_request_id(),
            text=generation.prompt,
            add_special_tokens=generation.add_special_tokens,
            media_marker=generation.media_marker,
            sound_marker=generation.sound_marker,
        )
        paths = paths_to_count(model, counted)
        return PreparedTokenizing(counted, paths, media=prepared.media)

    @input_tokens_schema
    async def post(
        self, request: Request, prepared: PreparedTokenizing
    ) -> HttpResponseBase:
        """Count the tokens of a request."""
        tokenized = await self.answer(prepared)
        return json_response(
            {
                "object": "response.input_tokens",
                "input_tokens": tokenized.count,
            }
        )
