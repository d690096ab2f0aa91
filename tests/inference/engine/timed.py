"""An engine whose steps take simulated seconds, and clients that ask it."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from inference.engine import EngineCore, GenerationRequest, SamplingParams
from inference.engine.sequence import Arrival
from tests.inference.engine.fakes import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference.engine.step import Sampled, StepPlan

#: Decodes by their number, in seconds: two cores of a server with a model of 135M.
_DECODES = ((1, 4, 8, 16, 32), (0.0055, 0.012, 0.019, 0.028, 0.052))
#: Tokens that a key's prompts begin with, as a system message is the same for all.
_SHARED = 28
#: A piece of a prompt: the pass through the model, each token.
_PASS_S, _TOKEN_S = 0.006, 0.001


class TimedBackend(FakeBackend):
    """A scripted model whose clock goes on by what a step takes."""

    def __init__(self) -> None:
        super().__init__(n_seq_max=32, n_ctx=2048, n_batch=2048, prefill_tile=64)
        self.prefill_lead = 1
        self.itl_target_ms = 60
        self.now = 0.0

    def decode(self, plan: StepPlan) -> dict[int, Sampled]:
        num_decodes = plan.num_decode_tokens
        if num_decodes:
            self.now += float(np.interp(num_decodes, *_DECODES))
        self.now += sum(_PASS_S + size * _TOKEN_S for size, _ in plan.prefills)
        return super().decode(plan)


class Timetable:
    """Runs requests that come at times of the simulated clock."""

    def __init__(self) -> None:
        self._backend = TimedBackend()
        self._core = EngineCore(self._backend, clock=lambda: self._backend.now)
        self._core.warm_up()
        self._numbers = count()
        self._coming: list[tuple[float, int, str, int, int, int]] = []
        self._after: dict[str, Callable[[], None]] = {}
        self._came: dict[str, float] = {}
        #: By request: the seconds from its arrival to its end.
        self.latencies: dict[str, float] = {}

    @property
    def now(self) -> float:
        """The simulated seconds."""
        return self._backend.now

    @property
    def prefilled(self) -> int:
        """Tokens of prompts that were computed."""
        return self._backend.prefilled

    def ask(
        self,
        key: str,
        *,
        prompt: int,
        tokens: int,
        after_s: float = 0.0,
        num_behind: int = 0,
        then: Callable[[], None] | None = None,
    ) -> str:
        """Let a request of a key come later; call ``then`` at its end.

        ``prompt`` are its own tokens, after those that the key's prompts share;
        ``num_behind`` of the key's requests wait to be prepared.
        """
        number = next(self._numbers)
        entry = (self.now + after_s, number, key, prompt, tokens, num_behind)
        heapq.heappush(self._coming, entry)
        if then is not None:
            self._after[str(number)] = then
        return str(number)

    def mean_latency(self, requests: Iterable[str]) -> float:
        """Return the mean of these requests, which have ended."""
        found = [self.latencies[name] for name in requests]
        return sum(found) / len(found)

    def run(self, seconds: float = 1000.0) -> None:
        """Compute until the time is over, or nothing is left."""
        end = self.now + seconds
        while self.now < end and (self._coming or self._core.has_work):
            self._let_in()
            if not self._core.has_work:
                self._backend.now = self._coming[0][0]
                continue
            for output in self._core.step():
                if output.finish_reason is not None:
                    self._end(output.request_id)
            self._wait(self._core.wait_s)

    def _wait(self, seconds: float) -> None:
        """Let so much time pass, or less if a request comes."""
        until = self.now + seconds
        next_at = self._coming[0][0] if self._coming else until
        self._backend.now = max(self.now, min(until, next_at))

    def _let_in(self) -> None:
        while self._coming and self._coming[0][0] <= self.now:
            at, number, key, prompt, tokens, num_behind = heapq.heappop(self._coming)
            shared = [0x1000 + ord(key[0])] * _SHARED
            own = [0x2000 + number, *range(0x8000, 0x8000 + prompt - 1)]
            params = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
            name = str(number)
            self._came[name] = at
            self._core.add(
                GenerationRequest(name, shared + own, params, key=key, owner=key),
                Arrival(at, num_behind),
            )

    def _end(self, name: str) -> None:
        self.latencies[name] = self.now - self._came[name]
        then = self._after.pop(name, None)
        if then is not None:
            then()
