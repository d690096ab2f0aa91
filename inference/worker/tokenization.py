"""Tokenizes requests and checks their length before they go to the engine.

A worker does this, not a web process: it has the vocabulary, and can count exactly.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from inference.engine.config.adapters import check_loaded
from inference.engine.errors import InvalidRequest
from inference.engine.infill import infill_prompt
from inference.engine.request import GenerationRequest
from inference.engine.request_checks import check_inputs, check_request
from inference.transport.messages.events import Tokenized

if TYPE_CHECKING:
    from inference.engine.backend import Backend, Projector
    from inference.engine.embedding.backend import EmbeddingBackend
    from inference.engine.media.inputs import MediaInput
    from inference.engine.media.spans import MediaSpan
    from inference.engine.request import (
        ComputeRequest,
        PoolingRequest,
        TokenizationRequest,
    )


def tokenized(request: ComputeRequest, backend: Any, *, task: str) -> Any:
    """Return the request with token ids. Raises EngineError if it can never run.

    ``task`` is what the model was loaded for. What a sampler needs is prepared, too.
    """
    requested = _task_of(request)
    if requested != task:
        # The web process reads the model's row, which may have changed since the load.
        raise InvalidRequest(
            f"The model is loaded to {task}, not to {requested}.", param="model"
        )
    if isinstance(request, GenerationRequest):
        return _generation(request, backend)
    return _embedding(request, backend)


def _task_of(request: ComputeRequest) -> str:
    if isinstance(request, GenerationRequest):
        return "generate"
    return "embed" if request.query is None else "rank"


def _generation(request: GenerationRequest, backend: Backend) -> GenerationRequest:
    prompt, spans = _prompt_of(request, backend)
    check_request(
        prompt=prompt,
        params=request.params,
        n_ctx=backend.n_ctx_max,
        n_vocab=backend.tokenizer.n_vocab,
        resume=request.resume,
        has_media=bool(spans),
    )
    check_loaded(request.adapters, backend.adapters)
    prediction: list[int] = []
    if request.prediction:
        prediction = backend.tokenizer.tokenize(request.prediction, special=False)
    if request.params.needs_preparation:
        backend.prepare(request.request_id, request.params)
    return replace(
        request,
        prompt_token_ids=prompt,
        # The engine needs what they are to the model, not how they look or sound.
        media=(),
        sounds=(),
        media_spans=spans,
        # What is beyond the context cannot come true.
        prediction_token_ids=tuple(prediction[: backend.n_ctx_max]),
    )


def _prompt_of(
    request: GenerationRequest, backend: Backend
) -> tuple[list[int], tuple[MediaSpan, ...]]:
    special = request.add_special_tokens
    if request.media or request.sounds:
        return _with_media(request, backend)
    if request.suffix:
        return _infill(request, backend), ()
    if request.prompt_token_ids:
        return request.prompt_token_ids, ()
    return backend.tokenizer.tokenize(request.prompt, special=special), ()


def _projector_of(backend: Any) -> Projector:
    """Return what reads the images of a model. Raises InvalidRequest."""
    projector: Projector | None = getattr(backend, "projector", None)
    if projector is None:
        # The web process reads the model's row, which may have changed since the load.
        raise InvalidRequest(
            "The model was loaded without a projector, so it reads text only: none was "
            "paired with it, or its machine's llama.cpp has no libmtmd."
        )
    return projector


def _with_media(
    request: GenerationRequest, backend: Backend
) -> tuple[list[int], tuple[MediaSpan, ...]]:
    prompt, media = _media_of(request)
    read = _projector_of(backend).read(
        prompt,
        media,
        marker=request.media_marker or request.sound_marker,
        special=request.add_special_tokens,
        owner=request.owner,
    )
    return read.tokens, read.spans


def _media_of(
    request: GenerationRequest | TokenizationRequest,
) -> tuple[str, list[MediaInput]]:
    """Return the prompt with one marker for all media, and these in its order."""
    prompt = request.prompt if isinstance(request, GenerationRequest) else request.text
    if not request.sounds:
        return prompt, list(request.media)
    images, sounds = iter(request.media), iter(request.sounds)
    ordered: list[MediaInput] = []

    def take(found: re.Match[str]) -> str:
        kind = sounds if found[0] == request.sound_marker else images
        ordered.extend(itertools.islice(kind, 1))
        return request.media_marker or request.sound_marker

    markers = filter(None, (request.media_marker, request.sound_marker))
    pattern = "|".join(map(re.escape, markers))
    return re.sub(pattern, take, prompt), ordered


def counted(request: TokenizationRequest, backend: Any) -> Tokenized:
    """Return the tokens of a text with media, which are not encoded.

    Raises EngineError.
    """
    text, media = _media_of(request)
    tokens, num_media = _projector_of(backend).count(
        text,
        media,
        marker=request.media_marker or request.sound_marker,
        special=request.add_special_tokens,
    )
    return Tokenized(request.request_id, tuple(tokens), (), num_media)


def _infill(request: GenerationRequest, backend: Backend) -> list[int]:
    plain = partial(backend.tokenizer.tokenize, special=False, parse_special=False)
    before = request.prompt_token_ids or plain(request.prompt)
    after = plain(request.suffix)
    return infill_prompt(backend.tokenizer.infill, before, after)


def _embedding(request: PoolingRequest, backend: EmbeddingBackend) -> PoolingRequest:
    tokens = _inputs_of(request, backend)
    check_inputs(
        tokens,
        request.paths,
        n_ctx=backend.n_ctx_max,
        n_vocab=backend.tokenizer.n_vocab,
        with_query=request.query is not None,
    )
    return replace(request, input_token_ids=tuple(tokens))


def _inputs_of(request: PoolingRequest, backend: EmbeddingBackend) -> list[list[int]]:
    if request.query is not None:
        return backend.pairs(request.query, [str(text) for text in request.inputs])
    tokenize = backend.tokenizer.tokenize
    return [
        tokenize(each, special=True) if isinstance(each, str) else each
        for each in request.inputs
    ]
