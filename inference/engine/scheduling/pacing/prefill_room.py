"""Chooses the pieces of prompts that a step computes, by what they take."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.engine.scheduling.pacing.piece_times import PieceCost

#: A token in the least piece takes at most this multiple of what it takes in a piece
#: of ``_WHOLE`` tokens: shorter ones cost everybody more than they spare the streams.
MAX_WASTE = 1.25
#: The same where a key is expected whose requests take a step or a few.
MAX_WASTE_BEFORE_OTHERS = 1.6
#: No piece is cut shorter, however cheap a pass through the model is.
MIN_PIECE = 16
#: What pieces are compared with, and the first one before anything is measured. Where
#: attention is computed in tiles it is one of them.
_WHOLE = 64


@dataclass(frozen=True, slots=True)
class PieceCosts:
    """What pieces take: shorter ones than a tile, and others.

    ``tile`` is 1 where tiles make no difference. With ``has_prefill_context`` short
    pieces of long prompts are computed in a context where they waste nothing for being
    short.
    """

    short: PieceCost
    tiled: PieceCost
    tile: int = 1
    has_prefill_context: bool = False

    def of(self, size: int) -> PieceCost:
        """Return the cost that holds for pieces of this size."""
        return self.short if size < self.tile else self.tiled

    def seconds(self, size: int, start: int) -> float:
        """Return what a piece takes that has ``start`` tokens before it."""
        return self.of(size).seconds(size, start)

    def seconds_at_most(self, size: int, start: int) -> float:
        """Return the longer of what either cost says: one may not have been so deep."""
        return max(cost.seconds(size, start) for cost in (self.short, self.tiled))

    def least(
        self, start: int, *, is_long: bool, is_before_others: bool = False
    ) -> int:
        """Return the least piece at a depth: a tile where shorter ones waste time.

        ``is_long``: the prompt is one of those that the prefill context is for.
        ``is_before_others`` is as in ``PrefillRoom``.
        """
        max_waste = MAX_WASTE_BEFORE_OTHERS if is_before_others else MAX_WASTE
        # Times of tiles are seldom seen where short pieces have a context of their own.
        is_apart = self.has_prefill_context and is_long
        whole = self.short if is_apart else self.tiled
        token_s = max_waste * whole.seconds(_WHOLE, start) / _WHOLE
        spare_s = token_s - self.short.token_s - start * self.short.depth_s
        limit = max(self.tile, _WHOLE)
        if spare_s <= 0:
            return limit
        return min(max(math.ceil(self.short.fixed_s / spare_s), MIN_PIECE), limit)


@dataclass(frozen=True, slots=True)
class PrefillRoom:
    """What a step has left for prompts: ``tokens`` of its batch, and ``seconds``.

    ``seconds`` is infinite if no stream waits for the step; a piece that ends its
    prompt may take ``ending_s``, if that is more. ``costs`` is None before any are
    known. The first piece is taken even if it takes longer than there is, so that
    prompts get done. ``lead`` tokens of a piece are computed with the decodes, before
    its tiles. ``is_before_others``: another key may ask at any moment, and would notice
    the rest of a step; pieces may be shorter than they are else.
    """

    tokens: int
    seconds: float = math.inf
    costs: PieceCosts | None = None
    tile: int = 1
    is_first: bool = True
    ending_s: float = 0.0
    lead: int = 0
    is_before_others: bool = False

    def piece(self, rest: int, start: int, *, is_long: bool = False) -> int:
        """Return how many of a prompt's ``rest`` tokens are computed, from ``start``.

        Whole tiles where they fit; 0 if what fits is not worth a piece. ``is_long`` is
        as in ``PieceCosts.least``.
        """
        most = min(rest, self.tokens)
        is_over = self.seconds <= 0 and self.ending_s <= 0
        if most <= 0 or (is_over and not self.is_first):
            return 0
        if math.isinf(self.seconds):
            return self._unhurried(rest, most)
        if self.costs is None:
            return min(most, max(_WHOLE, self.tile)) if self.is_first else 0
        if most == rest and (
            self.costs.seconds(rest, start) <= self.seconds
            or self.costs.seconds_at_most(rest, start) <= self.ending_s
        ):
            return rest
        size = self._hurried(self.costs, rest, start, is_long=is_long)
        return min(size, most)

    def without(self, size: int, start: int) -> PrefillRoom:
        """Return what is left after a piece."""
        taken = self.costs.seconds(size, start) if self.costs else math.inf
        return replace(
            self,
            tokens=self.tokens - size,
            seconds=self.seconds if math.isinf(self.seconds) else self.seconds - taken,
            ending_s=self.ending_s - taken,
            is_first=False,
        )

    def ends(self, rest: int, start: int) -> bool:
        """Whether a prompt's ``rest`` tokens fit into what is left."""
        return self.piece(rest, start) == rest

    def _unhurried(self, rest: int, most: int) -> int:
        """Return a piece of a step that no stream waits for.

        No end of a prompt is left that is shorter than a tile.
        """
        if not self.is_first and most < min(rest, self.tile):
            return 0
        left = rest - most
        return max(rest - self.tile, 1) if 0 < left < self.tile else most

    def _hurried(
        self, costs: PieceCosts, rest: int, start: int, *, is_long: bool
    ) -> int:
        fitting = costs.tiled.tokens(self.seconds, start)
        if costs.tile == 1:
            size = fitting
        elif fitting >= costs.tile + self.lead:
            return (fitting - self.lead) // costs.tile * costs.tile + self.lead
        else:
            size = min(costs.short.tokens(self.seconds, start), costs.tile - 1)
        least = costs.least(
            start, is_long=is_long, is_before_others=self.is_before_others
        )
        if size >= least:
            return size
        if not self.is_first:
            return 0
        if 2 * size >= least < costs.tile:
            # Rather some waste than a step that is too long.
            return size
        # Where only tiles are worth it, an end that is shorter than one is not.
        wastes_the_end = 1 < costs.tile <= least and rest < 2 * costs.tile
        return rest if wastes_the_end else least
