"""Between protocol and engine: requests on their way in, events on their way out."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from inference.engine.adapters import check_loaded
from inference.engine.core import check_request
from inference.engine.embedding.requests import EmbeddingOutput
from inference.engine.errors import InvalidRequest
from inference.engine.infill import infill_prompt
from inference.engine.request import GenerationRequest
from inference.engine.sequence import FinishReason
from inference.transport.messages import (
    Embed,
    Event,
    Failed,
    Finished,
    Generate,
    PromptScored,
    TokensGenerated,
    Usage,
)
from inference.worker.embedding_conversion import embedding_events, embedding_request

if TYPE_CHECKING:
    from inference.engine.backend import Backend
    from inference.engine.embedding.requests import EmbeddingRequest
    from inference.engine.output import SequenceOutput

#: Prompts over this many characters are tokenized off the I/O loop.
_LONG_PROMPT = 20_000


async def engine_request(
    asked: Generate | Embed, backend: Any, *, task: str
) -> GenerationRequest | EmbeddingRequest:
    """Return what the engine is to run. Raises EngineError if it never can.

    ``task`` is what the model was loaded for.
    """
    if _task(asked) != task:
        # The web process looks at the model's row, which may have changed since.
        raise InvalidRequest(
            f"The model is loaded to {task}, not to {_task(asked)}.", param="model"
        )
    if isinstance(asked, Embed):
        return await embedding_request(asked, backend)
    return await _generation_request(asked, backend)


def _task(asked: Generate | Embed) -> str:
    if isinstance(asked, Generate):
        return "generate"
    return "embed" if asked.query is None else "rank"


async def _generation_request(asked: Generate, backend: Backend) -> GenerationRequest:
    prompt = await _tokenized(asked, backend)
    check_request(
        prompt=prompt,
        params=asked.params,
        n_ctx=backend.n_ctx_max,
        n_vocab=backend.tokenizer.n_vocab,
        resume=asked.resume,
    )
    check_loaded(asked.adapters, backend.adapters)
    prediction: list[int] = []
    if asked.prediction:
        prediction = await _tokens_of(asked.prediction, backend, special=False)
    if asked.params.needs_preparation:
        await asyncio.to_thread(backend.prepare, asked.params)
    return GenerationRequest(
        request_id=asked.request_id,
        prompt_token_ids=prompt,
        params=asked.params,
        resume=asked.resume,
        # What is beyond the context cannot come true.
        prediction_token_ids=tuple(prediction[: backend.n_ctx_max]),
        adapters=asked.adapters,
        owner=asked.tenant,
        key=asked.key,
        weight=asked.weight,
        priority=asked.priority,
    )


async def _tokenized(asked: Generate, backend: Backend) -> list[int]:
    if asked.suffix:
        return await _infill(asked, backend)
    if isinstance(asked.prompt, list):
        return asked.prompt
    return await _tokens_of(asked.prompt, backend, special=asked.special)


async def _infill(asked: Generate, backend: Backend) -> list[int]:
    before = asked.prompt
    if isinstance(before, str):
        before = await _tokens_of(before, backend, special=False, is_plain=True)
    after = await _tokens_of(asked.suffix, backend, special=False, is_plain=True)
    return infill_prompt(backend.tokenizer.infill, before, after)


async def _tokens_of(
    text: str, backend: Backend, *, special: bool, is_plain: bool = False
) -> list[int]:
    """Return the tokens of a text; in a plain one marks are no control tokens."""
    tokenize = partial(
        backend.tokenizer.tokenize, text, special=special, parse_special=not is_plain
    )
    return await asyncio.to_thread(tokenize) if len(text) > _LONG_PROMPT else tokenize()


def events_of(output: SequenceOutput | EmbeddingOutput) -> list[Event]:
    """Return what the web process is told of a step of what runs."""
    if isinstance(output, EmbeddingOutput):
        return embedding_events(output)
    request_id, reason = output.request_id, output.finish_reason
    if reason is FinishReason.FAILED:
        return [Failed(request_id, output.code, output.error)]
    events: list[Event] = []
    if output.prompt_logprobs:
        events.append(PromptScored(request_id, output.prompt_logprobs))
    if reason is None:
        events.append(
            TokensGenerated(request_id, output.tokens, output.text, output.logprobs)
        )
    else:
        usage = Usage(
            output.num_prompt,
            output.num_output,
            output.num_cached,
            accepted=output.num_accepted,
            rejected=output.num_drafted - output.num_accepted,
        )
        events.append(
            Finished(request_id, str(reason), output.text, usage, output.logprobs)
        )
    return events
