"""Resizes the context: it grows for a long sequence, and shrinks when idle.

Within its size the memory grows and shrinks by itself: cells take some when they are
first written, and an idle engine gives back that of cells that are not in use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.config.cache_layout import grown
from inference.engine.errors import ContextExceeded, ModelLoadError
from inference.engine.request_checks import too_long
from inference.engine.sequence import FinishReason

if TYPE_CHECKING:
    from inference.engine.backend import Backend
    from inference.engine.config.cache_layout import CacheLayout
    from inference.engine.kv_cache.execution import KVCacheExecutor
    from inference.engine.scheduling.pacing.step_times import StepTimes
    from inference.engine.scheduling.scheduler import Scheduler
    from inference.engine.sequence import Sequence
    from inference.engine.telemetry import Telemetry


class ContextResizer:
    """Makes the KV cache large enough for the longest sequence.

    Running sequences are preempted for the resize. If there is no memory, the context
    keeps its size until the engine is idle.
    """

    def __init__(
        self,
        backend: Backend,
        scheduler: Scheduler,
        cache: KVCacheExecutor,
        times: StepTimes,
        telemetry: Telemetry,
    ) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._cache = cache
        self._times = times
        self._telemetry = telemetry
        self._first_layout = backend.layout
        #: Why growing the context has failed, if it was tried.
        self._shortage = ""
        #: Whether no cell has been written since the last rest.
        self._is_compact = True

    def fit(self) -> list[Sequence]:
        """Grow the context if needed; return the sequences that it cannot fit."""
        self._is_compact = False
        needed = self._scheduler.context_needed()
        layout = self._scheduler.slots.layout
        if needed > layout.n_ctx:
            larger = grown(
                layout,
                needed,
                n_ctx_max=self._backend.n_ctx_max,
                n_cells_max=self._backend.n_cells_max,
            )
            try:
                self._resize(larger)
            except ModelLoadError as error:
                self._scheduler.n_ctx_max = layout.n_ctx
                self._shortage = error.message
        return self._end_too_long() if self._shortage else []

    def rest(self) -> None:
        """Shrink the context to its initial size; give back memory not in use."""
        if self._shortage:
            self._shortage = ""
            self._scheduler.n_ctx_max = self._backend.n_ctx_max
        is_idle = not self._scheduler.unfinished()
        if is_idle and self._scheduler.slots.layout != self._first_layout:
            self._resize(self._first_layout)
        if is_idle and not self._is_compact:
            self._is_compact = True
            if not self._backend.compact():
                self._resize(self._scheduler.slots.layout)

    def _end_too_long(self) -> list[Sequence]:
        limit = self._scheduler.n_ctx_max
        ended = []
        for sequence in self._scheduler.unfinished():
            if len(sequence.tokens) < limit:
                continue
            ended.append(sequence)
            if sequence.num_output:
                sequence.finish(FinishReason.LENGTH)
                continue
            shortage = f"There is no memory for a longer context: {self._shortage}"
            message = too_long(
                limit, "the prompt", sequence.num_prompt, advice=shortage
            )
            sequence.fail(ContextExceeded(message))
        return ended

    def _resize(self, layout: CacheLayout) -> None:
        self._cache.apply(self._scheduler.preempt_all())
        try:
            self._backend.resize(layout)
        finally:
            self._scheduler.use_layout(self._backend.layout)
        self._times.has_prefill_context = self._backend.has_prefill_context
        self._telemetry.context_resized(layout.n_ctx)
