"""Counts the tokens of answers, as reported by the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.api.streaming.token_counts import TokenCounts
from inference.engine.output import SequenceOutput
from inference.transport.messages.events import Accepted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.api.streaming.response_objects import (
        CompletionTokensDetails,
        CompletionUsage,
    )
    from inference.transport.messages.events import Event


@dataclass(slots=True)
class AnswerUsage:
    """The tokens of one sequence; its prompt counts once it ``is_started``.

    ``accepted`` and ``rejected`` are those of drafts that the client's prediction gave,
    ``accepted_drafts`` and ``rejected_drafts`` those of the engine's own drafts.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    audio_tokens: int = 0
    accepted: int = 0
    rejected: int = 0
    accepted_drafts: int = 0
    rejected_drafts: int = 0
    is_started: bool = False

    def counts(self) -> TokenCounts:
        """Return the tokens of this sequence alone."""
        return token_counts({0: self}, n=1)

    def take(self, event: Event) -> int:
        """Count an event; return how many new tokens the answer has."""
        if isinstance(event, Accepted):
            self.prompt_tokens = event.prompt_tokens
            return 0
        if not isinstance(event, SequenceOutput):
            return 0
        self.is_started = True
        if event.is_start:
            self.prompt_tokens = self.prompt_tokens or event.num_prompt
            self.cached_tokens = event.num_cached
            self.audio_tokens = event.num_audio
            return 0
        if not event.is_last:
            self.completion_tokens += len(event.tokens)
            return len(event.tokens)
        count = event.num_output - self.completion_tokens
        self.prompt_tokens = event.num_prompt
        self.completion_tokens = event.num_output
        self.cached_tokens = event.num_cached
        self.audio_tokens = event.num_audio
        self.accepted = event.num_predicted_right
        self.rejected = event.num_predicted - event.num_predicted_right
        self.accepted_drafts = event.num_accepted - self.accepted
        self.rejected_drafts = event.num_drafted - event.num_accepted - self.rejected
        return count


def token_counts(
    sequences: Mapping[int, AnswerUsage], *, n: int, reasoning: int = 0
) -> TokenCounts:
    """Return the tokens of a request whose prompts have n sequences each.

    A prompt is counted once, however many answers it has, and not before one of them
    has begun. Some sequences may be missing.
    """
    prompts: dict[int, list[AnswerUsage]] = {}
    for index, each in sequences.items():
        if each.is_started:
            prompts.setdefault(index // n, []).append(each)
    return TokenCounts(
        prompt=sum(each[0].prompt_tokens for each in prompts.values()),
        cached=sum(
            min(answer.cached_tokens for answer in each) for each in prompts.values()
        ),
        completion=sum(each.completion_tokens for each in sequences.values()),
        audio=sum(each[0].audio_tokens for each in prompts.values()),
        reasoning=reasoning,
        drafted=sum(
            each.accepted + each.rejected + each.accepted_drafts + each.rejected_drafts
            for each in sequences.values()
        ),
    )


def counts_of_events(sequences: Sequence[Sequence[Event]], *, n: int) -> TokenCounts:
    """Return the tokens in the events of each sequence."""
    usages = {index: AnswerUsage() for index, _ in enumerate(sequences)}
    for index, events in enumerate(sequences):
        for event in events:
            usages[index].take(event)
    return token_counts(usages, n=n)


def completion_usage(
    sequences: Mapping[int, AnswerUsage],
    *,
    n: int,
    reasoning_tokens: int | None = None,
) -> CompletionUsage:
    """Return the usage of a request whose prompts have n sequences each.

    ``reasoning_tokens`` is None if the answers were not parsed. Tokens of the client's
    prediction are counted if there were drafts of it, and apart from them tokens of the
    engine's own drafts.
    """
    counts = token_counts(sequences, n=n)
    counted: CompletionUsage = {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
        "prompt_tokens_details": {"cached_tokens": counts.cached},
    }
    if counts.audio:
        counted["prompt_tokens_details"]["audio_tokens"] = counts.audio
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
