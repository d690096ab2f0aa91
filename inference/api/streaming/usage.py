"""Counts the tokens of answers, as reported by the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.output import SequenceOutput
from inference.transport.messages.events import Accepted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.api.streaming.response_objects import (
        CompletionTokensDetails,
        CompletionUsage,
    )
    from inference.transport.messages.events import Event


@dataclass(slots=True)
class AnswerUsage:
    """The tokens of one sequence.

    ``accepted`` and ``rejected`` are those of drafts that the client's prediction gave,
    ``accepted_drafts`` and ``rejected_drafts`` those of the engine's own drafts.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    accepted: int = 0
    rejected: int = 0
    accepted_drafts: int = 0
    rejected_drafts: int = 0

    def take(self, event: Event) -> int:
        """Count an event; return how many new tokens the answer has."""
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
        self.accepted = event.num_predicted_right
        self.rejected = event.num_predicted - event.num_predicted_right
        self.accepted_drafts = event.num_accepted - self.accepted
        self.rejected_drafts = event.num_drafted - event.num_accepted - self.rejected
        return count


def completion_usage(
    sequences: Mapping[int, AnswerUsage],
    *,
    n: int,
    reasoning_tokens: int | None = None,
) -> CompletionUsage:
    """Return the usage of a request whose prompts have n sequences each.

    A prompt is counted once, however many answers it has. Its cached tokens are those
    that no sequence had to compute. ``reasoning_tokens`` is None if the answers were
    not parsed. Tokens of the client's prediction are counted if there were drafts of
    it, and apart from them tokens of the engine's own drafts.
    """
    prompts = [
        [sequences[index] for index in range(first, first + n)]
        for first in range(0, len(sequences), n)
    ]
    prompt_tokens = sum(prompt[0].prompt_tokens for prompt in prompts)
    completion_tokens = sum(each.completion_tokens for each in sequences.values())
    cached = sum(min(each.cached_tokens for each in prompt) for prompt in prompts)
    counted: CompletionUsage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    details: CompletionTokensDetails = {}
    if reasoning_tokens is not None:
        details["reasoning_tokens"] = reasoning_tokens
    accepted = sum(each.accepted for each in sequences.values())
    rejected = sum(each.rejected for each in sequences.values())
    if accepted or rejected:
        details["accepted_prediction_tokens"] = accepted
        details["rejected_prediction_tokens"] = rejected
    drafts = sum(each.accepted_drafts for each in sequences.values())
    wrong = sum(each.rejected_drafts for each in sequences.values())
    if drafts or wrong:
        details["accepted_draft_tokens"] = drafts
        details["rejected_draft_tokens"] = wrong
    if details:
        counted["completion_tokens_details"] = details
    return counted
