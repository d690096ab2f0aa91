"""POST /v1/chat/completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.chat.prepare import prepare_chat
from inference.api.chat.request import ChatCompletionRequest
from inference.api.generation_view import GenerationView
from inference.api.model_access import caller_of
from inference.api.openapi.operations import chat_schema
from inference.api.preparing.abilities import WRITES
from registry.models import Api

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.forwarding.forwarded import Forwarded
    from inference.api.preparing.completion import PreparedCompletion


class ChatCompletionsView(GenerationView):
    """POST /v1/chat/completions."""

    api = Api.CHAT

    def prepare(self, request: Request) -> PreparedCompletion | Forwarded:
        """Return the generation requests of a chat, and its answer's format."""
        body = ChatCompletionRequest.parse(request.data)
        self.recording.labels(body.metadata)
        return self.aimed(
            request,
            body,
            WRITES,
            lambda body, find_model: prepare_chat(
                body, find_model, caller_of(request), self.left_out
            ),
        )

    @chat_schema
    async def post(
        self, request: Request, prepared: PreparedCompletion | Forwarded
    ) -> HttpResponseBase:
        """Answer a conversation."""
        return await self.run(prepared)
