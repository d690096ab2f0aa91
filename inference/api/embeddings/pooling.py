"""Splits inputs into pooling requests for the engine, and collects the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.completions.prompts import size_of
from inference.engine.output import PoolingOutput
from inference.engine.request import PoolingRequest
from inference.transport.stream import new_request_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inference.api.embeddings.response import EmbeddingUsage
    from inference.api.preparing.caller import Caller
    from inference.transport.messages.events import Event

#: The most inputs of one pooling request: few enough that several workers share a large
#: client request, and that little is repeated when one of them dies.
_PART_INPUTS = 32
_PART_BYTES = 64 * 1024


def pooling_requests(
    inputs: Mapping[str, str | list[int]],
    caller: Caller,
    *,
    query: str | None = None,
    priority: int = 0,
) -> Iterator[PoolingRequest]:
    """Yield pooling requests with the inputs, by path, in parts for several workers."""
    paths, texts = tuple(inputs), tuple(inputs.values())
    for part in _parts(texts):
        yield PoolingRequest(
            request_id=new_request_id(),
            input_token_ids=(),
            inputs=texts[part],
            paths=paths[part],
            query=query,
            key=caller.key,
            weight=caller.weight,
            priority=priority,
            idle_only=caller.idle_only,
        )


def _parts(inputs: Sequence[str | list[int]]) -> Iterator[slice]:
    first = size = 0
    for index, each in enumerate(inputs):
        is_full = index - first == _PART_INPUTS or size + size_of(each) > _PART_BYTES
        if is_full and index > first:
            yield slice(first, index)
            first, size = index, 0
        size += size_of(each)
    yield slice(first, len(inputs))


def vectors_of(events: Iterable[Sequence[Event]]) -> Iterator[bytes]:
    """Yield the vectors of all requests in order."""
    for output in _outputs(events):
        yield from output.vectors


def usage_of(events: Iterable[Sequence[Event]]) -> EmbeddingUsage:
    """Return the number of tokens of all requests."""
    tokens = sum(output.num_prompt for output in _outputs(events))
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def _outputs(events: Iterable[Sequence[Event]]) -> Iterator[PoolingOutput]:
    """Yield the last event of each request, which has its vectors."""
    for *_, last in events:
        assert isinstance(last, PoolingOutput)  # noqa: S101 - a worker's answer
        yield last
