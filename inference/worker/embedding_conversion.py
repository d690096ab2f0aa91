"""Between protocol and engine, for texts that become vectors or scores."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from inference.engine.embedding.requests import EmbeddingRequest, check_inputs
from inference.engine.sequence import FinishReason
from inference.transport.messages import Embed, Embedded, Event, Failed, Finished, Usage

if TYPE_CHECKING:
    from inference.engine.embedding.requests import EmbeddingBackend, EmbeddingOutput

#: Texts of more characters are tokenized off the I/O loop.
_LONG_TEXT = 20_000


async def embedding_request(
    asked: Embed, backend: EmbeddingBackend
) -> EmbeddingRequest:
    """Return what the engine is to compute. Raises EngineError if it never can."""
    length = sum(map(len, asked.inputs)) + len(asked.query or "") * len(asked.inputs)
    if length > _LONG_TEXT:
        inputs = await asyncio.to_thread(_tokenized, asked, backend)
    else:
        inputs = _tokenized(asked, backend)
    check_inputs(
        inputs,
        asked.paths,
        n_ctx=backend.n_ctx_max,
        n_vocab=backend.tokenizer.n_vocab,
        with_query=asked.query is not None,
    )
    return EmbeddingRequest(
        request_id=asked.request_id,
        inputs=tuple(inputs),
        key=asked.key,
        weight=asked.weight,
        priority=asked.priority,
    )


def _tokenized(asked: Embed, backend: EmbeddingBackend) -> list[list[int]]:
    if asked.query is not None:
        return backend.pairs(asked.query, [str(text) for text in asked.inputs])
    tokenize = backend.tokenizer.tokenize
    return [
        tokenize(each, special=True) if isinstance(each, str) else each
        for each in asked.inputs
    ]


def embedding_events(output: EmbeddingOutput) -> list[Event]:
    """Return what the web process is told of a request's end."""
    if output.finish_reason is FinishReason.FAILED:
        return [Failed(output.request_id, output.code, output.error)]
    usage = Usage(prompt_tokens=output.num_prompt)
    return [
        Embedded(output.request_id, output.vectors),
        Finished(output.request_id, str(output.finish_reason), "", usage),
    ]
