"""The texts of a body, for an estimate of its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.engine.request import GenerationRequest, PoolingRequest
from inference.engine.sampling.params import SamplingParams
from inference.transport.stream import new_request_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from inference.engine.request import ModelRequest

_MEMBERS = (
    *("messages", "system", "instructions", "input", "tools", "functions"),
    *("prompt", "suffix", "query", "documents"),
)
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
#: What an image counts as: vLLM's and llama.cpp's projectors make some hundreds.
_IMAGE_TOKENS = 576
_POOLING = frozenset({"embeddings", "rerank"})


def counted_requests(body: Mapping[str, Any], api: str) -> list[ModelRequest]:
    """Return requests that limits count as they count this one.

    Their prompt is its texts, one after the other: an estimate of it.
    """
    texts = [part for name in _MEMBERS for part in _texts(body.get(name))]
    text = "\n".join(part for part in texts if isinstance(part, str))
    number = sum(part for part in texts if isinstance(part, int))
    if api in _POOLING:
        inputs: Sequence[str | list[int]] = (text, [0] * number)
        return [PoolingRequest(new_request_id(), (), inputs=tuple(inputs))]
    limit = next((body[n] for n in _LIMITS if isinstance(body.get(n), int)), None)
    params = SamplingParams(max_tokens=limit if limit and limit > 0 else None)
    answers = max(_count(body.get("n")), _count(body.get("best_of")))
    prompts = body.get("prompt")
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        answers *= len(prompts)
    first = GenerationRequest(
        new_request_id(), [0] * number if not text else [], params, prompt=text
    )
    rest = [
        GenerationRequest(new_request_id(), [], params, counts_prompt=False)
        for _ in range(answers - 1)
    ]
    return [first, *rest]


def _texts(value: Any) -> Iterator[str | int]:
    """Yield the texts in a value, and numbers of tokens."""
    if isinstance(value, str):
        if value.startswith("data:"):
            yield _IMAGE_TOKENS
        else:
            yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        if value and all(type(each) is int for each in value):
            yield len(value)
            return
        for each in value:
            yield from _texts(each)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 1
