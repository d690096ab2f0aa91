"""A node: a real engine core on a backend that only takes simulated time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.systems.null_engine.backend import NullBackend
from inference.engine.core import EngineCore
from inference.engine.sequence import Arrival

if TYPE_CHECKING:
    from benchmarks.fleet.costs import Machine
    from inference.engine.output import SequenceOutput
    from inference.engine.request import GenerationRequest
    from inference.engine.step import StepPlan

N_CTX = 2048
_N_BATCH = 512


class Node:
    """One replica of one model. Its clock stands still but for what its steps take."""

    def __init__(self, name: str, model: int, machine: Machine) -> None:
        self.name = name
        self.model = model
        self.slots = machine.n_seq_max
        #: Requests that were sent here and have not ended.
        self.requests = 0
        self.is_stepping = False
        #: How often it has waited for a request that is about to come.
        self.waits = 0
        self._machine = machine
        self._now = 0.0
        backend = NullBackend(
            n_ctx=N_CTX, n_seq_max=self.slots, n_batch=_N_BATCH, take=self._take
        )
        self._core = EngineCore(backend, clock=lambda: self._now)
        self._core.warm_up()

    @property
    def has_work(self) -> bool:
        """Whether a step has something to compute."""
        return self._core.has_work

    @property
    def wait_s(self) -> float:
        """For how long the next step is to wait for a request."""
        return self._core.wait_s

    def add(self, request: GenerationRequest, now: float) -> None:
        """Queue a request that comes now."""
        self._core.add(request, Arrival(now))

    def step(self, now: float) -> tuple[float, list[SequenceOutput]]:
        """Run a step that begins now; return when it ends, and its outputs."""
        self._now = now
        outputs = self._core.step()
        return self._now, outputs

    def _take(self, plan: StepPlan) -> None:
        num_prefill = plan.num_tokens - plan.num_decode_tokens
        self._now += self._machine.step(plan.num_decodes, num_prefill)
