"""The body of POST /v1/completions."""

from __future__ import annotations

import functools
from typing import Annotated

from pydantic import model_validator

from inference.api.body.blocked_patterns import check_patterns
from inference.api.body.text_limits import check_sizes
from inference.api.completions.prompts import Prompts, by_path
from inference.api.errors import BadRequest
from inference.api.parameters.completion import (
    MAX_CHOICES,
    MAX_LOGPROBS,
    CompletionParameters,
)
from inference.api.parameters.value_types import MAX_TOKENS, Between, Text

_MAX_SEQUENCES = 128
#: OpenAI's own default for text completions.
_DEFAULT_MAX_TOKENS = 16


class CompletionRequest(CompletionParameters):
    """One text or several, and how to continue them."""

    prompt: Prompts
    """One prompt or up to 100; prompts times n is at most 128."""
    suffix: Text = ""
    """Text after the answer: the answer fills in the middle. For models with the
    capability infill. Not with echo."""
    max_tokens: Annotated[int, Between(-1, MAX_TOKENS)] = _DEFAULT_MAX_TOKENS
    """The maximum number of tokens of the answer; 0 only with echo, -1 is no limit but
    the context."""
    logprobs: Annotated[int, Between(0, MAX_LOGPROBS)] | None = None
    """Return the logprob of each token, from the model's logits before any sampler, and
    this many of the most likely tokens."""
    echo: bool = False
    """Begin the answer with the prompt; logprobs then include its tokens."""
    best_of: Annotated[int, Between(1, MAX_CHOICES)] | None = None
    """Generate this many answers and return the n with the highest mean logprob. Usage
    counts all of them. Not with stream. Default: n."""

    @functools.cached_property
    def prompts(self) -> tuple[str | list[int], ...]:
        """The prompts, each as text or as token ids. Raises BadRequest."""
        return tuple(by_path(self.prompt, "prompt").values())

    @property
    def num_sequences(self) -> int:
        """How many answers the model generates for each prompt."""
        return self.best_of or self.n

    @property
    def num_logprobs(self) -> int | None:
        """How many alternatives each token's logprobs have; None is no logprobs."""
        return self.logprobs

    @model_validator(mode="after")
    def _check_completion(self) -> CompletionRequest:
        if self.max_tokens == 0 and not self.echo:
            raise BadRequest(
                "'max_tokens' may be 0 only with 'echo': true.", param="max_tokens"
            )
        self._check_best_of()
        count = len(self.prompts)
        name = "best_of" if self.num_sequences > self.n else "n"
        if count * self.num_sequences > _MAX_SEQUENCES:
            raise BadRequest(
                f"{count} prompts with {name}={self.num_sequences} are "
                f"{count * self.num_sequences} answers, and at most {_MAX_SEQUENCES} "
                "are allowed.",
                param=name,
            )
        check_sizes({"suffix": len(self.suffix.encode())}, "suffix")
        check_patterns({"suffix": self.suffix})
        if self.suffix and self.echo:
            raise BadRequest(
                "'echo' is not allowed with 'suffix': the answer comes between the "
                "two.",
                param="echo",
            )
        return self

    def _check_best_of(self) -> None:
        if self.num_sequences < self.n:
            raise BadRequest(
                f"'best_of' is {self.best_of}, which is less than 'n', {self.n}.",
                param="best_of",
            )
        if self.num_sequences > self.n and self.stream:
            raise BadRequest(
                "The best of several answers cannot be streamed: which one it is shows "
                "at the end. Leave out 'best_of' or 'stream'.",
                param="best_of",
            )
