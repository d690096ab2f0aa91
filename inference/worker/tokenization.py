"""Tokenizes requests and checks their length before they go to the engine.

A worker does this, not a web process: it has the vocabulary, and can count exactly.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from inference.engine.config.adapters import check_loaded
from inference.engine.errors import InvalidRequest
from inference.engine.infill import infill_prompt
from inference.engine.request import GenerationRequest
from inference.engine.request_checks import check_inputs, check_request

if TYPE_CHECKING:
    from inference.engine.backend import Backend
    from inference.engine.embedding.backend import EmbeddingBackend
    from inference.engine.request import ComputeRequest, PoolingRequest

#: Longer texts, in characters, are tokenized outside of the event loop.
_LONG_TEXT = 20_000


async def tokenized(request: ComputeRequest, backend: Any, *, task: str) -> Any:
    """Return the request with token ids. Raises EngineError if it can never run.

    ``task`` is what the model was loaded for.
    """
    requested = _task_of(request)
    if requested != task:
        # The web process reads the model's row, which may have changed since the load.
        raise InvalidRequest(
            f"The model is loaded to {task}, not to {requested}.", param="model"
        )
    if isinstance(request, GenerationRequest):
        return await _generation(request, backend)
    return await _embedding(request, backend)


def _task_of(request: ComputeRequest) -> str:
    if isinstance(request, GenerationRequest):
        return "generate"
    return "embed" if request.query is None else "rank"


async def _generation(
    request: GenerationRequest, backend: Backend
) -> GenerationRequest:
    prompt = await _prompt_of(request, backend)
    check_request(
        prompt=prompt,
        params=request.params,
        n_ctx=backend.n_ctx_max,
        n_vocab=backend.tokenizer.n_vocab,
        resume=request.resume,
    )
    check_loaded(request.adapters, backend.adapters)
    prediction: list[int] = []
    if request.prediction:
        prediction = await _tokens_of(request.prediction, backend, special=False)
    if request.params.needs_preparation:
        await asyncio.to_thread(backend.prepare, request.params)
    return replace(
        request,
        prompt_token_ids=prompt,
        # What is beyond the context cannot come true.
        prediction_token_ids=tuple(prediction[: backend.n_ctx_max]),
    )


async def _prompt_of(request: GenerationRequest, backend: Backend) -> list[int]:
    if request.suffix:
        return await _infill(request, backend)
    if request.prompt_token_ids:
        return request.prompt_token_ids
    special = request.add_special_tokens
    return await _tokens_of(request.prompt, backend, special=special)


async def _infill(request: GenerationRequest, backend: Backend) -> list[int]:
    plain = partial(_tokens_of, backend=backend, special=False, parse_special=False)
    before = request.prompt_token_ids or await plain(request.prompt)
    after = await plain(request.suffix)
    return infill_prompt(backend.tokenizer.infill, before, after)


async def _tokens_of(
    text: str, backend: Backend, *, special: bool, parse_special: bool = True
) -> list[int]:
    tokenize = partial(
        backend.tokenizer.tokenize, text, special=special, parse_special=parse_special
    )
    return await asyncio.to_thread(tokenize) if len(text) > _LONG_TEXT else tokenize()


async def _embedding(
    request: PoolingRequest, backend: EmbeddingBackend
) -> PoolingRequest:
    inputs, query = request.inputs, request.query
    length = sum(map(len, inputs)) + len(query or "") * len(inputs)
    if length > _LONG_TEXT:
        tokens = await asyncio.to_thread(_inputs_of, request, backend)
    else:
        tokens = _inputs_of(request, backend)
    check_inputs(
        tokens,
        request.paths,
        n_ctx=backend.n_ctx_max,
        n_vocab=backend.tokenizer.n_vocab,
        with_query=query is not None,
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
