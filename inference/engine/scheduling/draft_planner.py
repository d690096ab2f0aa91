"""Plans the drafts of the next step: for which sequences, from where, how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.speculative.draft_lengths import (
    MAX_DRAFT,
    DraftCandidate,
    draft_lengths,
)
from inference.engine.speculative.prompt_lookup import PromptLookup

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from inference.engine.backend import Drafter
    from inference.engine.request import GenerationRequest
    from inference.engine.scheduling.pacing.step_times import StepTimes
    from inference.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class DraftBudget:
    """How many drafted tokens the next step has room for, besides its ``tokens``.

    ``limits`` is the maximum of each sequence that decodes: no more could be accepted
    before it ends. ``total`` is for all of them together.
    """

    tokens: int
    limits: Mapping[Sequence, int]
    total: int


class DraftPlanner:
    """Makes drafts where they save time.

    A draft comes from prompt lookup, in the sequence's own tokens or in a prediction of
    its answer; or from a draft model.
    """

    def __init__(
        self,
        times: StepTimes,
        *,
        can_draft: bool,
        max_lookups: int,
        drafter: Drafter | None,
        is_split: bool = False,
    ) -> None:
        """``can_draft`` says whether the cells of wrong tokens can be dropped.

        ``is_split`` says that sequences have cells of their own. While more than
        ``max_lookups`` sequences decode, only predictions are looked up.
        """
        self._times = times
        self._is_split = is_split
        self._can_draft = can_draft
        self._max_lookups = max_lookups
        self._drafter = drafter

    def lookup_for(self, request: GenerationRequest) -> PromptLookup | None:
        """Return the prompt lookup of a request's sequence."""
        if request.media_spans:
            # What follows a picture is not to be found in it.
            return None
        if self._can_draft and (self._max_lookups or request.prediction_token_ids):
            return PromptLookup(request.prompt_token_ids, request.prediction_token_ids)
        return None

    def may_draft(self, sequences: Collection[Sequence]) -> bool:
        """Whether a step of these may have drafts; much cheaper than ``drafts``."""
        if self._drafter is not None or len(sequences) <= self._max_lookups:
            return True
        return any(sequence.request.prediction_token_ids for sequence in sequences)

    def drafts(self, budget: DraftBudget) -> dict[Sequence, list[int]]:
        """Return the drafts of the next step. Raises DecodeError."""
        if budget.total <= 0 or not self._times.knows_batches:
            return {}
        are_few = len(budget.limits) <= self._max_lookups
        looked_up: dict[Sequence, list[int]] = {}
        candidates: dict[Sequence, DraftCandidate] = {}
        for sequence, most in budget.limits.items():
            limit, rate = min(most, MAX_DRAFT), sequence.acceptance.rate
            # A first token is urgent: nothing is computed beside it.
            if limit <= 0 or not sequence.num_output:
                continue
            if sequence.lookup is not None:
                if not (are_few or sequence.request.prediction_token_ids):
                    continue
                found = sequence.lookup.propose(sequence.tokens, limit)
                if found:
                    looked_up[sequence] = found
                    candidates[sequence] = DraftCandidate(rate, len(found))
            elif self._drafter is not None and self._drafter.can_follow(sequence):
                candidates[sequence] = DraftCandidate(rate, limit, takes_passes=True)
        if not candidates:
            return {}
        lengths = draft_lengths(
            list(candidates.values()),
            budget.total,
            tokens=budget.tokens,
            expected=float(len(budget.limits)),
            step_seconds=lambda count: self._times.decode_s(count) or 0.0,
            pass_seconds=self._pass_seconds,
            batch_s=(self._times.decode_s(0) or 0.0) if self._is_split else 0.0,
        )
        wanted: dict[Sequence, int] = {}
        drafts: dict[Sequence, list[int]] = {}
        for sequence, length in zip(candidates, lengths, strict=True):
            if not length:
                continue
            if sequence in looked_up:
                drafts[sequence] = looked_up[sequence][:length]
            else:
                wanted[sequence] = length
        if wanted and self._drafter is not None:
            drafts |= self._drafter.propose(wanted)
        return drafts

    def _pass_seconds(self, count: int) -> float:
        return self._drafter.pass_s(count) if self._drafter is not None else 0.0
