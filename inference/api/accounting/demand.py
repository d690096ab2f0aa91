"""What a request's sequences ask for, as limits count it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.limits.demand import Demand, Tokens
from inference.engine.request import GenerationRequest, PoolingRequest
from inference.prompts.token_estimate import (
    LEAST_OF_IMAGE,
    MOST_OF_IMAGE,
    estimate_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inference.engine.request import ModelRequest
    from registry.models import Model

#: The most tokens that are reserved for one answer. Most answers are shorter than what
#: a request allows; what a longer one writes is counted when it ends.
RESERVED_OUTPUT = 1024
#: A text has at least the estimate divided by this: see token_estimate.
_CERTAINTY = 3


def demand_of(
    requests: Sequence[ModelRequest], model: Model | None, *, needs_tokens: bool
) -> Demand:
    """Return what limits count of a request to a model.

    Each answer to a prompt counts as a request; all inputs of an embedding are one.
    """
    generations = [each for each in requests if isinstance(each, GenerationRequest)]
    count = max(len(generations), 1)
    if model is None or not needs_tokens:
        return Demand(requests=count, model=model)
    prompt = least = 0
    images = sum(map(_num_images, generations))
    prompt += images * MOST_OF_IMAGE
    least += images * LEAST_OF_IMAGE
    prompt += sum(each.sound_tokens for each in generations if each.counts_prompt)
    for text in prompts_of(requests):
        if isinstance(text, str):
            tokens = estimate_tokens(text, model.vocab_size)
            least += tokens // _CERTAINTY
        else:
            tokens = len(text)
            least += tokens
        prompt += tokens
    output = sum(
        RESERVED_OUTPUT
        if each.params.max_tokens is None
        else min(each.params.max_tokens, RESERVED_OUTPUT)
        for each in generations
    )
    return Demand(count, model, Tokens(prompt=prompt, output=output), least)


def _num_images(request: GenerationRequest) -> int:
    """Return how many images a prompt has, which are read later; once of several."""
    if not request.media_marker or not request.counts_prompt:
        return 0
    return request.prompt.count(request.media_marker)


def prompts_of(requests: Sequence[ModelRequest]) -> Iterator[str | Sequence[int]]:
    """Yield what is computed: a prompt of several answers once."""
    for request in requests:
        if isinstance(request, GenerationRequest):
            if request.counts_prompt:
                yield request.prompt or request.prompt_token_ids
                yield request.suffix
        elif isinstance(request, PoolingRequest):
            for text in request.inputs:
                yield text
                if request.query is not None:
                    yield request.query
