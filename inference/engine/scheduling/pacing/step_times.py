"""Measures step times, and says how much of prompts a step may compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.scheduling.pacing.decode_times import DecodeTimes
from inference.engine.scheduling.pacing.overrun import Overrun
from inference.engine.scheduling.pacing.piece_times import PieceTimes
from inference.engine.scheduling.pacing.prefill_room import PieceCosts, PrefillRoom

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.engine.scheduling.pacing.measured import Measured

#: A step with prefill may take at least this multiple of a step without, more where
#: more sequences prefill than decode.
MAX_SLOWDOWN = 2.5
#: A p95 leaves out one gap between tokens in so many: it may be longer, if that ends a
#: prompt.
_SPARED_IN = 20
#: That step may take this multiple of the target, or of a step without prompts, ...
_SPARED = 5.0
#: ... and one that is planned for this multiple of what any may take is such a step.
_LONG = 1.5
#: After a time without such steps there may be so many, one soon after the other.
_MOST_SPARED = 4
#: Shorter prefills say little: they are mostly the fixed cost of a step.
_MIN_OBSERVED = 8


class StepTimes:
    """Models the seconds of a decode step, and of pieces of prompts.

    Pieces of at least ``tile`` tokens, whose attention is computed in tiles, are
    learned apart from shorter ones. ``itl_target_s`` is the inter-token latency that
    streams keep at p95 while others prefill; 0 leaves only ``MAX_SLOWDOWN``. ``lead``
    is as in ``PrefillRoom``.
    """

    def __init__(
        self, tile: int = 1, *, itl_target_s: float = 0.0, lead: int = 0
    ) -> None:
        self._tile = tile
        self._lead = lead
        self._itl_target_s = itl_target_s
        #: Whether short pieces run in the prefill context, where they are not slower.
        self.has_prefill_context = False
        self._decodes = DecodeTimes()
        #: The lengths of the sequences that decoded in the newest step, added up.
        self._depth = 0
        self._short = PieceTimes()
        self._tiled = PieceTimes()
        self._overrun = Overrun()
        #: Gaps between tokens of streams that no step much longer than others used up.
        self._spared_gaps = 0

    def learn(self, measured: Measured) -> None:
        """Add what a warm-up has measured."""
        for count, seconds in measured.decodes:
            self.calibrate(count, seconds)
        for size, start, seconds in measured.pieces:
            self.calibrate_prefill(size, start, seconds)

    def calibrate(self, num_decodes: int, seconds: float) -> None:
        """Add a decode step of the warm-up, which does not decay."""
        self._decodes.calibrate(num_decodes, seconds)

    def calibrate_prefill(self, size: int, start: int, seconds: float) -> None:
        """Add a piece of the warm-up. With little before it tiles are no faster."""
        for times in (self._short, self._tiled):
            times.calibrate(size, start, seconds)

    def observe(
        self,
        num_decodes: int,
        prefills: Iterable[tuple[int, int]],
        seconds: float,
        *,
        depth: int = 0,
    ) -> None:
        """Add a step; of each piece of a prompt its tokens, and those before it.

        ``depth`` are the lengths of the sequences that decode, added up.
        """
        pieces = list(prefills)
        num_prefill = sum(size for size, _ in pieces)
        if num_decodes:
            self._depth = depth
        if num_prefill == 0:
            self._decodes.observe(num_decodes, depth, seconds)
            self._count(self.decode_s(num_decodes) or 0.0, num_decodes)
            return
        beside = self.decode_s(num_decodes) or 0.0 if num_decodes else 0.0
        if num_decodes and (costs := self._costs()):
            expected = beside + sum(costs.seconds(*piece) for piece in pieces)
            self._overrun.observe(seconds, expected)
            self._count(expected, num_decodes)
        if num_prefill < _MIN_OBSERVED or seconds <= beside:
            return
        if all(size >= self._tile for size, _ in pieces):
            self._tiled.observe(pieces, seconds - beside)
        elif all(size < self._tile for size, _ in pieces):
            self._short.observe(pieces, seconds - beside)

    def _count(self, expected_s: float, gaps: int) -> None:
        """Count a step, which is a gap for each of the streams that decode in it.

        What it was planned for, not what it took, makes it long.
        """
        if expected_s > _LONG * self._bound_s(self.decode_s(gaps) or 0.0):
            self._spared_gaps = max(self._spared_gaps - _SPARED_IN * gaps, 0)
        else:
            most = max(_MOST_SPARED * _SPARED_IN * gaps, self._spared_gaps)
            self._spared_gaps = min(self._spared_gaps + gaps, most)

    def _bound_s(self, decode_s: float, *, target_s: float | None = None) -> float:
        """Return what a step may take whose decodes alone take ``decode_s``."""
        if target_s is None:
            target_s = self._itl_target_s
        return max(MAX_SLOWDOWN * decode_s, target_s)

    def decode_s(self, num_decodes: int) -> float | None:
        """Return the seconds of a step that decodes this many sequences, if known.

        More of them are drafts, say, or begin: those of the newest step are as long
        as they are.
        """
        return self._decodes.seconds(num_decodes, self._depth if num_decodes else 0)

    def short_s(self, num_decodes: int) -> float | None:
        """Return the seconds of a step of short sequences, to compare numbers of them.

        However slow the machine is just now, and however long the sequences; without a
        warm-up as steps were observed.
        """
        short_s = self._decodes.short_seconds(num_decodes)
        return self.decode_s(num_decodes) if short_s is None else short_s

    @property
    def knows_batches(self) -> bool:
        """Whether batches of different sizes have been seen."""
        return self._decodes.knows_batches

    def piece_s(self, size: int, start: int) -> float:
        """Return the seconds of a piece of a prompt; 0 before any were measured."""
        costs = self._costs()
        return costs.seconds(size, start) if costs else 0.0

    def room(
        self,
        num_decodes: int,
        tokens: int,
        *,
        waiting: int = 1,
        is_before_others: bool = False,
    ) -> PrefillRoom:
        """Return what a step has for prompts beside ``num_decodes`` decodes.

        At most ``tokens``; without decodes no stream is delayed. A step may take as
        long as the larger of the target and the slowdown. If more sequences are
        ``waiting`` for their first token than decode, that is longer in the same
        proportion: otherwise a few fast streams would keep many requests from starting.
        Where others are expected only the slowdown counts, whatever the target:
        nobody reads now, but somebody may come and wait for the end of the step.
        """
        if num_decodes == 0:
            return PrefillRoom(tokens, tile=self._tile)
        decode_s, costs = self.decode_s(num_decodes), self._costs()
        if decode_s is None or costs is None:
            return PrefillRoom(tokens, 0.0, tile=self._tile)
        has_target = not is_before_others
        target_s = self._itl_target_s / self._overrun.factor if has_target else 0.0
        step_s = self._bound_s(decode_s, target_s=target_s)
        has_spared = self._spared_gaps >= _SPARED_IN * num_decodes
        is_spared = has_target and has_spared and self._itl_target_s > 0
        spared_s = _SPARED * max(self._itl_target_s, decode_s)
        return PrefillRoom(
            tokens,
            max(waiting / num_decodes, 1.0) * step_s - decode_s,
            costs,
            tile=self._tile,
            ending_s=spared_s - decode_s if is_spared else 0.0,
            lead=self._lead,
            is_before_others=is_before_others,
        )

    def _costs(self) -> PieceCosts | None:
        tiled = self._tiled.cost
        if tiled is None:
            return None
        # Short ones are assumed to be no slower until they are measured.
        short = self._short.cost if self._tile > 1 else tiled
        return PieceCosts(short or tiled, tiled, self._tile, self.has_prefill_context)
