"""Refuses prompts that are too long for the model's context, before they are queued.

A worker counts exactly, and refuses with the same message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.errors import BadRequest
from inference.capacity.model_rows import context_spec
from inference.engine.errors import ContextExceeded
from inference.engine.request_checks import too_long
from inference.prompts.token_estimate import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.model_facts import ModelFacts

#: A text is refused if the estimate of its tokens is this many times the context: for
#: some scripts and vocabularies an estimate is twice the true count.
_CERTAINTY = 3


def check_length(
    prompts: Iterable[str | list[int]], model: ModelFacts, param: str
) -> None:
    """Refuse prompts that are longer than the model's context can ever be.

    Token ids are counted, texts are estimated. Raises BadRequest.
    """
    most = context_spec(model).ceiling
    for prompt in prompts:
        if isinstance(prompt, str):
            # Most texts are far below the limit: the estimate is under two tokens a
            # character.
            if len(prompt) <= most:
                continue
            count = estimate_tokens(prompt, model.vocab_size)
            is_estimate, limit = True, _CERTAINTY * most + 1
        else:
            count = len(prompt)
            is_estimate, limit = False, most
        if count >= limit:
            message = too_long(most, f"'{param}'", count, is_estimate=is_estimate)
            raise BadRequest(message, param=param, code=ContextExceeded.code)
