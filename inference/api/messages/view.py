"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings

from inference.api.error_shapes.anthropic import (
    REQUEST_ID_HEADER,
    VERSION_HEADER,
    error_response,
)
from inference.api.errors import BadRequest
from inference.api.forwarding.hosted_tools import without_hosted
from inference.api.generation_view import GenerationView
from inference.api.messages.prepare import Preparing, prepare_count, prepare_message
from inference.api.messages.request import CountTokensRequest, MessagesRequest
from inference.api.messages.signature import ThinkingSigner
from inference.api.messages.tools import is_hosted
from inference.api.model_access import caller_of
from inference.api.openapi.operations import count_tokens_schema, message_schema
from inference.api.preparing.abilities import WRITES
from inference.api.responses import json_response
from inference.api.tokens.view import (
    PreparedTokenizing,
    TokenizingView,
    paths_to_count,
)
from inference.api.view import ApiView
from llm_manager.lib.quoting import quote
from llm_manager.lib.request_id import request_id
from llm_manager.lib.threads import in_thread
from registry.models import Api

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.error_shapes.failure import Failure
    from inference.api.forwarding.forwarded import Forwarded
    from inference.api.messages.objects import TokenCount
    from inference.api.messages.prepare import CountedPrompt, CountedPrompts
    from inference.api.preparing.completion import PreparedCompletion
    from registry.models import Model

#: The versions of Anthropic's API that are spoken here; an earlier one had other
#: events. The newer one is the older without sampling parameters, served in both here.
_VERSIONS = ("2023-06-01", "2026-10-21")


class AnthropicView(ApiView):
    """What the routes below /v1/messages have in common: headers, and errors' shape."""

    def failure_response(self, failure: Failure) -> HttpResponse:
        """Return the answer in Anthropic's shape."""
        return error_response(failure)

    async def dispatch(  # type: ignore[override]
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Answer the request, with its id under Anthropic's name too."""
        response = await super().dispatch(request, *args, **kwargs)
        response[REQUEST_ID_HEADER] = request_id.get()
        return response

    def check_version(self, request: Request) -> None:
        """Refuse another version of the API. Raises BadRequest."""
        version = request.headers.get(VERSION_HEADER, _VERSIONS[0])
        if version not in _VERSIONS:
            raise BadRequest(
                f"'{VERSION_HEADER}' is '{quote(version)}', and only "
                f"{' and '.join(_VERSIONS)} are spoken here.",
                param=VERSION_HEADER,
            )


class MessagesView(AnthropicView, GenerationView):
    """POST /v1/messages."""

    api = Api.MESSAGES

    def prepare(self, request: Request) -> PreparedCompletion | Forwarded:
        """Return the generation request of a message, and its answer's format."""
        self.check_version(request)
        body = MessagesRequest.parse(request.data)
        if body.metadata is not None:
            self.recording.labels(body.metadata.model_dump(exclude_defaults=True))
        return self.aimed(
            request,
            body,
            WRITES,
            lambda body, find_model: prepare_message(
                body, replace(_preparing(self, request), find_model=find_model)
            ),
        )

    def forwardable(
        self, body: MessagesRequest, members: dict[str, Any]
    ) -> Mapping[str, Any]:
        """Return a body without hosted tools, MCP servers among them."""
        sent, paths = without_hosted(members, is_hosted)
        self.left_out.add(*paths)
        return sent

    @message_schema
    async def post(
        self, request: Request, prepared: PreparedCompletion | Forwarded
    ) -> HttpResponseBase:
        """Answer a conversation in Anthropic's shape."""
        return await self.run(prepared)


@dataclass(frozen=True, slots=True)
class PreparedCount:
    """Prompts to count, by a worker of a model or by its vocabulary."""

    prompts: CountedPrompts
    model: Model


class CountTokensView(AnthropicView, TokenizingView):
    """POST /v1/messages/count_tokens."""

    def prepare(self, request: Request) -> PreparedCount:
        """Return the tokenizer requests. Raises BadRequest."""
        self.check_version(request)
        body = CountTokensRequest.parse(request.data)
        model = self.find_model(request, body.model, WRITES)
        prompts = prepare_count(body, _preparing(self, request))
        return PreparedCount(prompts, model)

    async def with_media(self, prepared: Any) -> Any:
        """Return the prompts with their media. Raises BadRequest, RequestTimeout."""
        prompts: CountedPrompts = prepared.prompts
        seen = replace(prompts, prompt=await self._seen(prompts.prompt))
        if prompts.original is not None:
            seen = replace(seen, original=await self._seen(prompts.original))
        return replace(prepared, prompts=seen)

    async def _seen(self, prompt: CountedPrompt) -> CountedPrompt:
        return replace(prompt, request=await self.seen(prompt.request, prompt.media))

    @count_tokens_schema
    async def post(self, request: Request, prepared: PreparedCount) -> HttpResponseBase:
        """Count the tokens of a conversation as the model would see it."""
        prompts = prepared.prompts
        count = await self._count_of(prompts.prompt, prepared.model)
        answer: TokenCount = {"input_tokens": count}
        if prompts.has_edits:
            original = count
            if prompts.original is not None:
                original = await self._count_of(prompts.original, prepared.model)
            answer["context_management"] = {"original_input_tokens": original}
        return json_response(answer)

    async def _count_of(self, prompt: CountedPrompt, model: Model) -> int:
        paths = await in_thread(paths_to_count, model, prompt.request)
        tokenized = await self.answer(PreparedTokenizing(prompt.request, paths))
        count: int = tokenized.count
        return count


def _preparing(view: MessagesView | CountTokensView, request: Request) -> Preparing:
    return Preparing(
        find_model=partial(view.find_model, request, ability=WRITES),
        caller=caller_of(request),
        signer=ThinkingSigner(settings.SECRET_KEY),
        left_out=view.left_out,
    )
