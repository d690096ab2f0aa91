"""Prompts that no context can take: refused before anything waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.errors import InvalidRequest
from inference.capacity.model_rows import context_spec
from inference.prompts.estimate import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import Model

#: A text is refused by an estimate of so many times what there is room for; what
#: is less is counted by a worker. For some scripts and vocabularies it is twice as
#: many as there are.
_CERTAINTY = 3


def check_length(prompts: Iterable[str | list[int]], model: Model, param: str) -> None:
    """Refuse prompts that are longer than the model's context can ever be.

    Token ids are counted, texts are estimated. Raises InvalidRequest.
    """
    most = context_spec(model).ceiling
    for prompt in prompts:
        if isinstance(prompt, str):
            # Most are far from it: the estimate is less than two a character.
            if len(prompt) <= most:
                continue
            count = estimate_tokens(prompt, model.vocab_size)
            is_too_long, about = count > _CERTAINTY * most, "about "
        else:
            count = len(prompt)
            is_too_long, about = count >= most, ""
        if is_too_long:
            raise InvalidRequest(
                f"This model's context is at most {most} tokens, but '{param}' has "
                f"{about}{count}. Shorten it.",
                param=param,
                code="context_length_exceeded",
            )
