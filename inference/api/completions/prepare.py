"""Makes the engine's requests of a text completion request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.body.unsupported import hints_left_out
from inference.api.parameters.grammar import grammar_of
from inference.api.preparing.completion import (
    PreparedCompletion,
    answer_header,
    generation_requests,
)
from inference.api.preparing.context_check import check_length
from inference.api.streaming.formats import TextFormat
from inference.errors import RequestRejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.api.completions.request import CompletionRequest
    from inference.api.left_out import LeftOut
    from inference.api.preparing.caller import Caller
    from registry.model_facts import ModelFacts


def prepare_completion(
    body: CompletionRequest,
    find_model: Callable[[str], ModelFacts],
    caller: Caller,
    left_out: LeftOut,
) -> PreparedCompletion:
    """Return the generation requests of a completion, and its answer's format.

    ``find_model`` returns the model of a name, or raises. What the answer goes without
    is added to ``left_out``. Raises BadRequest and RequestRejected.
    """
    model = find_model(body.model)
    check_length(body.prompts, model, "prompt")
    if body.suffix and not model.supports_infill:
        raise RequestRejected(
            f"'suffix' is not supported: the model '{model.name}' has no tokens to "
            "fill in a middle.",
            code="unsupported_parameter",
            param="suffix",
        )
    left_out.add(*hints_left_out(body))
    sampling = {**body.sampling(), "grammar": grammar_of(body, left_out)}
    return PreparedCompletion(
        requests=generation_requests(
            body.prompts,
            caller,
            body,
            model=model,
            sampling=sampling,
            max_tokens=None if body.max_tokens == -1 else body.max_tokens,
            add_special_tokens=True,
            suffix=body.suffix,
            echo=body.echo,
        ),
        format=TextFormat(
            answer_header("cmpl", model, body),
            include_usage=body.include_usage,
            with_logprobs=body.logprobs is not None,
            prompts=(
                [each for each in body.prompts for _ in range(body.n)]
                if body.echo
                else ()
            ),
        ),
        body=body,
    )
