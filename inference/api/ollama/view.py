"""POST /api/chat, /api/generate, /api/embed and /api/embeddings: Ollama's API."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.http import HttpResponse

from accounts.errors import ModelNotAllowed
from inference import services
from inference.api.embeddings.pooling import usage_of
from inference.api.embeddings.prepare import prepare_embedding
from inference.api.embeddings.request import EmbeddingRequest
from inference.api.error_shapes.ollama import error_response
from inference.api.errors import BadRequest
from inference.api.generation_view import GenerationView
from inference.api.model_access import caller_of
from inference.api.ollama.descriptions import (
    chat_schema,
    embed_schema,
    embeddings_schema,
    generate_schema,
)
from inference.api.ollama.format import answer_object
from inference.api.ollama.prepare import OllamaPreparing, prepare_ollama
from inference.api.ollama.request import (
    OllamaChatRequest,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
    OllamaGenerateRequest,
)
from inference.api.preparing.abilities import EMBEDS, WRITES
from inference.api.responses import json_response
from inference.api.view import ApiView
from inference.api.worker_view import WorkerView
from registry.errors import ModelNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.embeddings.prepare import PreparedEmbedding
    from inference.api.error_shapes.failure import Failure
    from inference.api.forwarding.forwarded import Forwarded
    from inference.api.ollama.format import Route
    from inference.api.preparing.abilities import Ability
    from inference.api.preparing.completion import PreparedCompletion
    from inference.engine.request import ModelRequest
    from registry.models import Model

#: Ollama's clients add it to names without a tag.
LATEST = ":latest"


class OllamaView(ApiView):
    """What the routes below /api have in common: they may be off; errors' shape."""

    #: Answers in the place of a route that is off.
    unknown: Callable[..., Any] | None = None

    def failure_response(self, failure: Failure) -> HttpResponse:
        """Return the answer in Ollama's shape."""
        return error_response(failure)

    async def dispatch(  # type: ignore[override]
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Answer the request, if Ollama's API is on."""
        if not settings.CONFIG.api.ollama and self.unknown is not None:
            return cast("HttpResponseBase", await self.unknown(request))
        return await super().dispatch(request, *args, **kwargs)


class OllamaWorkerView(OllamaView, WorkerView):
    """What the routes have in common whose requests run on workers."""

    def find_named(
        self, request: Request, name: str, ability: Ability
    ) -> tuple[str, Model]:
        """Return the model that a request names, and its name without ``:latest``.

        Raises what find_model raises.
        """
        try:
            return name, self.find_model(request, name, ability)
        except (ModelNotFound, ModelNotAllowed):
            if not name.endswith(LATEST):
                raise
        name = name.removesuffix(LATEST)
        return name, self.find_model(request, name, ability)


@dataclass(frozen=True, slots=True)
class ModelToLoad:
    """A model to load instead of an answer."""

    model: Model


class OllamaGenerationView(OllamaWorkerView, GenerationView):
    """What /api/chat and /api/generate have in common."""

    route: Route

    def model_requests(
        self, prepared: PreparedCompletion | Forwarded | ModelToLoad
    ) -> Sequence[ModelRequest]:
        """Return the sequences; to load a model has none."""
        return () if isinstance(prepared, ModelToLoad) else prepared.requests

    def prepared(
        self,
        request: Request,
        body: OllamaChatRequest | OllamaGenerateRequest,
        *,
        is_empty: bool,
    ) -> PreparedCompletion | ModelToLoad:
        """Return the generation request; or the model to load, if there is no prompt.

        Raises BadRequest, and what find_model raises.
        """
        name, model = self.find_named(request, body.model, WRITES)
        if not is_empty:
            need = OllamaPreparing(
                model=model,
                name=name,
                caller=caller_of(request),
                left_out=self.left_out,
                durations=self.recording.durations,
            )
            return prepare_ollama(body, need)
        if body.is_to_unload:
            raise BadRequest(
                "'keep_alive' unloads no model here: POST /v1/models/{id}/unload does.",
                param="keep_alive",
            )
        self.left_out.add(*body.hints())
        return ModelToLoad(model)

    async def answered(
        self, prepared: PreparedCompletion | ModelToLoad
    ) -> HttpResponseBase:
        """Run the request, or wait until the model is loaded."""
        if not isinstance(prepared, ModelToLoad):
            return await self.run(prepared)
        # As for a request: what has just failed to load is not tried again.
        await services.ensure_worker(prepared.model.pk)
        timeout_s = settings.CONFIG.engine.load_timeout
        await services.worker_wait(prepared.model, timeout_s=timeout_s)
        answer = answer_object(self.route, prepared.model.name, {}, done=True)
        return json_response({**answer, "done_reason": "load"})


class OllamaChatView(OllamaGenerationView):
    """POST /api/chat."""

    route = "chat"

    def prepare(self, request: Request) -> PreparedCompletion | ModelToLoad:
        """Return the generation request, or the model to load."""
        body = OllamaChatRequest.parse(request.data)
        return self.prepared(request, body, is_empty=not body.messages)

    @chat_schema
    async def post(
        self, request: Request, prepared: PreparedCompletion | ModelToLoad
    ) -> HttpResponseBase:
        """Answer a conversation in Ollama's shape."""
        return await self.answered(prepared)


class OllamaGenerateView(OllamaGenerationView):
    """POST /api/generate."""

    route = "generate"

    def prepare(self, request: Request) -> PreparedCompletion | ModelToLoad:
        """Return the generation request, or the model to load."""
        body = OllamaGenerateRequest.parse(request.data)
        return self.prepared(request, body, is_empty=not (body.prompt or body.images))

    @generate_schema
    async def post(
        self, request: Request, prepared: PreparedCompletion | ModelToLoad
    ) -> HttpResponseBase:
        """Answer or continue a text in Ollama's shape."""
        return await self.answered(prepared)


class OllamaVectorsView(OllamaWorkerView):
    """What /api/embed and /api/embeddings have in common."""

    def embedding(
        self,
        request: Request,
        body: OllamaEmbedRequest | OllamaEmbeddingsRequest,
        **members: Any,
    ) -> PreparedEmbedding:
        """Return the pooling requests. Raises BadRequest."""
        name, model = self.find_named(request, body.model, EMBEDS)
        # No option changes a vector.
        given = body.options.model_fields_set
        nested = (f"options.{name}" for name in sorted(given))
        self.left_out.add(*(path for path in body.hints() if "." not in path), *nested)
        return prepare_embedding(
            EmbeddingRequest.parse({"model": name, **members}),
            lambda _: model,
            caller_of(request),
        )

    def model_requests(self, prepared: PreparedEmbedding) -> Sequence[ModelRequest]:
        """Return the pooling requests."""
        return prepared.requests


class OllamaEmbedView(OllamaVectorsView):
    """POST /api/embed."""

    def prepare(self, request: Request) -> PreparedEmbedding:
        """Return the pooling requests. Raises BadRequest."""
        body = OllamaEmbedRequest.parse(request.data)
        return self.embedding(
            request, body, input=body.input, dimensions=body.dimensions
        )

    @embed_schema
    async def post(
        self, request: Request, prepared: PreparedEmbedding
    ) -> HttpResponseBase:
        """Return a vector for each input."""
        events = await self.run_whole(prepared.requests)
        vectors = await prepared.vectors(events)
        took = self.recording.durations()
        rest = {
            "model": prepared.model_name,
            "total_duration": took.total_ns,
            "load_duration": took.waiting_ns,
            "prompt_eval_count": usage_of(events)["prompt_tokens"],
        }
        text = json.dumps(rest, ensure_ascii=False).encode()
        return _json(b'{"embeddings":[%b],%b' % (b",".join(vectors), text[1:]))


class OllamaEmbeddingsView(OllamaVectorsView):
    """POST /api/embeddings."""

    def prepare(self, request: Request) -> PreparedEmbedding:
        """Return the pooling request. Raises BadRequest."""
        body = OllamaEmbeddingsRequest.parse(request.data)
        return self.embedding(request, body, input=body.prompt)

    @embeddings_schema
    async def post(
        self, request: Request, prepared: PreparedEmbedding
    ) -> HttpResponseBase:
        """Return the vector of a text."""
        events = await self.run_whole(prepared.requests)
        (vector,) = await prepared.vectors(events)
        return _json(b'{"embedding":%b}' % vector)


def _json(content: bytes) -> HttpResponse:
    return HttpResponse(content, content_type="application/json")
