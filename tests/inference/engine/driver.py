"""An engine core stepped by hand, and the answers to its requests."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from inference.engine import EngineCore, GenerationRequest, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.backend import Backend
    from inference.engine.sequence import FinishReason


class Driver:
    """Runs greedy requests; after every step the books must agree with the cache.

    Unless it is given another clock, every reading of it is a millisecond later, so
    how a prompt is cut into chunks does not depend on the machine.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        ignores_end: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """``ignores_end`` makes every answer as long as it may be."""
        ticks = count()
        self.core = EngineCore(backend, clock=clock or (lambda: next(ticks) / 1000))
        self._ignores_end = ignores_end
        self.tokens: dict[str, list[int]] = {}
        #: Tokens of the prompt that needed no prefill, in the order of the starts.
        self.cached: dict[str, int] = {}
        self.reasons: dict[str, FinishReason] = {}
        self.errors: dict[str, str] = {}

    def add(self, name: str, prompt: list[int], limit: int = 16, **more: Any) -> None:
        """Queue a request for ``limit`` tokens."""
        params = SamplingParams(
            temperature=0, max_tokens=limit, ignore_eos=self._ignores_end
        )
        self.core.add(GenerationRequest(name, prompt, params, **more))
        self.tokens[name] = []

    def step(self, times: int = 1) -> None:
        """Compute steps."""
        for _ in range(times):
            for output in self.core.step():
                name = output.request_id
                self.tokens[name] += output.tokens
                if output.is_start:
                    self.cached[name] = output.num_cached
                if output.error:
                    self.errors[name] = output.error
                if output.finish_reason is not None:
                    self.reasons[name] = output.finish_reason
            self.core.check_integrity()

    def run(self, most: int = 2000) -> None:
        """Step until nothing is left to do."""
        for _ in range(most):
            if not self.core.has_work:
                return
            self.step()
        raise AssertionError("the engine does not come to an end")

    def answer(self, name: str, prompt: list[int], limit: int = 16) -> list[int]:
        """Return the answer to one more request, when all have ended."""
        self.add(name, prompt, limit)
        self.run()
        return self.tokens[name]

    def abort(self, *names: str) -> None:
        """End requests."""
        self.core.abort(names)
        self.core.check_integrity()

    @property
    def prefilled(self) -> int:
        """Prompt tokens that were computed, not copied."""
        histograms = self.core.telemetry.snapshot()["histograms"]
        return int(histograms["request_prefill_tokens"]["sum"])

    @property
    def preemptions(self) -> int:
        """Sequences that had to give up their slot."""
        return int(self.core.telemetry.snapshot()["counters"]["preemptions"])
