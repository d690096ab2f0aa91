"""POST /tokenize, /detokenize and /apply-template."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inference.api.body.text_limits import check_sizes
from inference.api.completions.prompts import size_of
from inference.api.model_access import caller_of
from inference.api.openapi.operations import (
    detokenize_schema,
    template_schema,
    tokenize_schema,
)
from inference.api.preparing.abilities import WRITES
from inference.api.responses import json_response
from inference.api.tokens.prepare import prepare_tokenizing, rendered
from inference.api.tokens.request import (
    ApplyTemplateRequest,
    DetokenizeRequest,
    TokenizeRequest,
)
from inference.api.tokens.response import TemplatePrompt, TokenText, token_list
from inference.api.worker_view import WorkerView
from inference.engine.media.inputs import ImageInput, SoundInput
from inference.engine.request import DetokenizationRequest, TokenizationRequest
from inference.serving import is_served
from inference.transport.stream import new_request_id
from inference.worker.vocabulary_process import get_vocabulary_process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.media.marks import MarkedPart
    from inference.engine.request import TokenizerRequest
    from registry.models import Model


@dataclass(frozen=True, slots=True)
class PreparedTokenizing:
    """A request for a worker or, with an unloaded model's ``paths``, its vocabulary."""

    request: TokenizerRequest
    paths: tuple[str, ...]
    with_pieces: bool = False
    #: Images and sounds that are read while the request's body is held.
    media: tuple[MarkedPart, ...] = ()


class TokenizingView(WorkerView):
    """What /tokenize and /detokenize have in common."""

    async def _enter_with_body(self, request: HttpRequest) -> Any:
        """Read the body, ``enter``, and read its media.

        Its body counts among those in flight until then. Raises RequestTimeout too.
        """
        return await self.with_media(await super()._enter_with_body(request))

    async def with_media(self, prepared: Any) -> Any:
        """Return it with its media. Raises BadRequest, RequestTimeout."""
        request = prepared.request
        if not isinstance(request, TokenizationRequest):
            return prepared
        return replace(prepared, request=await self.seen(request, prepared.media))

    async def seen(
        self, request: TokenizationRequest, parts: Sequence[MarkedPart]
    ) -> TokenizationRequest:
        """Return a request with its media. Raises what ``read_media`` raises."""
        if not parts:
            return request
        media = await self.read_media(parts)
        return replace(
            request,
            media=tuple(each for each in media if isinstance(each, ImageInput)),
            sounds=tuple(each for each in media if isinstance(each, SoundInput)),
        )

    async def answer(self, prepared: PreparedTokenizing) -> Any:
        """Return the answer of a worker, or of the vocabulary of an unloaded model."""
        caller = caller_of(self.request)
        request = replace(prepared.request, key=caller.key, weight=caller.weight)
        if prepared.paths:
            return await get_vocabulary_process().ask(prepared.paths, request)
        ((*_, last),) = await self.run_whole([request])
        return last


class TokenizeView(TokenizingView):
    """POST /tokenize."""

    def prepare(self, request: Request) -> PreparedTokenizing:
        """Return the tokenizer request. Raises BadRequest."""
        body = TokenizeRequest.parse(request.data)
        model = self.find_model(request, body.model)
        return PreparedTokenizing(
            prepare_tokenizing(body, model, self.left_out),
            unloaded_paths(model),
            with_pieces=body.with_pieces,
        )

    @tokenize_schema
    async def post(
        self, request: Request, prepared: PreparedTokenizing
    ) -> HttpResponseBase:
        """Turn a text into tokens."""
        tokenized = await self.answer(prepared)
        answer = token_list(tokenized, with_pieces=prepared.with_pieces)
        return json_response(answer)


class DetokenizeView(TokenizingView):
    """POST /detokenize."""

    def prepare(self, request: Request) -> PreparedTokenizing:
        """Return the tokenizer request. Raises BadRequest."""
        body = DetokenizeRequest.parse(request.data)
        check_sizes({"tokens": size_of(body.tokens)}, "tokens")
        model = self.find_model(request, body.model)
        tokens = tuple(body.tokens)
        detokenize = DetokenizationRequest(new_request_id(), tokens, path="tokens")
        return PreparedTokenizing(detokenize, unloaded_paths(model))

    @detokenize_schema
    async def post(
        self, request: Request, prepared: PreparedTokenizing
    ) -> HttpResponseBase:
        """Turn tokens into text."""
        text = (await self.answer(prepared)).text
        answer: TokenText = {"content": text, "prompt": text}
        return json_response(answer)


class ApplyTemplateView(WorkerView):
    """POST /apply-template."""

    def prepare(self, request: Request) -> TemplatePrompt:
        """Return the prompt. Raises what prompt_render raises."""
        body = ApplyTemplateRequest.parse(request.data)
        model = self.find_model(request, body.model, WRITES)
        prompt = rendered(body, body.messages, model, self.left_out)
        return {"prompt": prompt.text}

    @template_schema
    async def post(self, request: Request, answer: TemplatePrompt) -> HttpResponseBase:
        """Render a conversation with the model's chat template."""
        return json_response(answer)


def paths_to_count(model: Model, request: TokenizationRequest) -> tuple[str, ...]:
    """Return an unloaded model's files; none where media need its projector."""
    has_media = request.media_marker or request.sound_marker
    return () if has_media else unloaded_paths(model)


def unloaded_paths(model: Model) -> tuple[str, ...]:
    """Return a model's files if no worker serves it; it is not loaded for this."""
    return () if is_served(model) else tuple(map(str, model.paths))
