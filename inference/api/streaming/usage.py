"""How many tokens an answer has taken so far, by the engine's own count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.output import SequenceOutput
from inference.transport.messages.events import Accepted

if TYPE_CHECKING:
    from inference.transport.messages.events import Event


@dataclass(slots=True)
class AnswerUsage:
    """The tokens of one sequence; ``accepted`` and ``rejected`` are of drafts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    accepted: int = 0
    rejected: int = 0

    def take(self, event: Event) -> int:
        """Take an event into account; return the new tokens of the answer."""
        if isinstance(event, Accepted):
            self.prompt_tokens = event.prompt_tokens
            return 0
        if not isinstance(event, SequenceOutput):
            return 0
        if event.is_start:
            self.cached_tokens = event.num_cached
            return 0
        if not event.is_last:
            self.completion_tokens += len(event.tokens)
            return len(event.tokens)
        count = event.num_output - self.completion_tokens
        self.prompt_tokens = event.num_prompt
        self.completion_tokens = event.num_output
        self.cached_tokens = event.num_cached
        self.accepted = event.num_accepted
        self.rejected = event.num_drafted - event.num_accepted
        return count
