"""The tokens of a request, by kind, as they are written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """The tokens of a request, by kind.

    ``cached`` are those of the prompt that no sequence had to compute, ``audio`` those
    of it that are sounds, ``reasoning`` some of the completion's, ``drafted`` those of
    all drafts, right and wrong.
    """

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    drafted: int = 0
    audio: int = 0

    def __add__(self, other: TokenCounts) -> TokenCounts:
        return TokenCounts(
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.completion + other.completion,
            self.reasoning + other.reasoning,
            self.drafted + other.drafted,
            self.audio + other.audio,
        )

    def beyond(self, other: TokenCounts) -> TokenCounts:
        """Return what these have beyond an earlier state of them."""
        if not other.prompt:
            return self
        return TokenCounts(
            prompt=max(self.prompt - other.prompt, 0),
            cached=max(self.cached - other.cached, 0),
            completion=max(self.completion - other.completion, 0),
            # Reasoning comes first: what was written before is reasoning above all.
            reasoning=max(self.reasoning - other.completion, 0),
            drafted=max(self.drafted - other.drafted, 0),
            audio=max(self.audio - other.audio, 0),
        )


#: Returns a request's tokens so far, and why its answers ended.
Progress = Callable[[], tuple[TokenCounts, str]]
