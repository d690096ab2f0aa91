"""The engine of models that make vectors: a step is one batch of whole texts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from inference.engine.embedding.requests import EmbeddingOutput
from inference.engine.errors import DecodeError
from inference.engine.output import EngineStats
from inference.engine.scheduling.fair_queue import FairQueue
from inference.engine.sequence import FinishReason
from inference.engine.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from inference.engine.embedding.requests import EmbeddingBackend, EmbeddingRequest


@dataclass(slots=True, eq=False)
class _Job:
    """A request, how many of its inputs have been taken, and what came of them."""

    request: EmbeddingRequest
    arrival: int
    queued_at: float
    taken: int = 0
    vectors: dict[int, bytes] = field(default_factory=dict)
    is_ended: bool = False

    @property
    def following(self) -> list[int]:
        """The input that is next."""
        return self.request.inputs[self.taken]

    @property
    def is_done(self) -> bool:
        """Whether every input has its vector."""
        return len(self.vectors) == len(self.request.inputs)


#: An input: whose, and the how manieth.
_Item = tuple[_Job, int]


class EmbeddingCore:
    """Makes vectors on one backend. Not thread-safe: one thread owns it.

    Batches are filled with inputs of all requests that wait, input by input in the
    order that is fair between keys: a request with thousands of inputs does not
    delay one with a single input.
    """

    def __init__(
        self,
        backend: EmbeddingBackend,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._queue: FairQueue[_Job] = FairQueue()
        self._jobs: dict[str, _Job] = {}
        self._arrivals = count()
        self.telemetry = Telemetry(n_ctx=backend.n_ctx_max, n_ctx_max=backend.n_ctx_max)
        self._requests_total = 0
        self._prompt_tokens_total = 0

    @property
    def has_work(self) -> bool:
        """Whether a step would do something."""
        return bool(self._jobs)

    def add(self, request: EmbeddingRequest) -> None:
        """Queue a request; ``check_inputs`` has been asked before."""
        job = _Job(request, next(self._arrivals), self._clock())
        self._jobs[request.request_id] = job
        self._queue.enter(job)
        self._requests_total += 1

    def abort(self, request_ids: Iterable[str]) -> None:
        """End these requests before the next step; no output comes of it."""
        for request_id in request_ids:
            job = self._jobs.get(request_id)
            if job is not None:
                self._end(job, FinishReason.ABORTED)

    # A step -------------------------------------------------------------------

    def step(self) -> list[EmbeddingOutput]:
        """Compute one batch; return the requests that began, ended or failed by it."""
        batch = self._fill()
        if not batch:
            return []
        outputs = [_begun(job) for job, number in batch if number == 0]
        try:
            rows = self._embed(batch)
        except DecodeError as error:
            if len(batch) == 1:
                return outputs + self._fail(batch[0][0], error)
            # Whose fault it is shows when each is computed by itself.
            return outputs + [o for item in batch for o in self._alone(item)]
        return outputs + [
            output
            for item, row in zip(batch, rows, strict=True)
            for output in self._keep(item, row)
        ]

    def _fill(self) -> list[_Item]:
        """Take inputs off the queue until the batch is full."""
        batch: list[_Item] = []
        room = self._backend.n_batch
        while len(batch) < self._backend.layout.n_seq_max:

            def fits(job: _Job, room: int = room) -> bool:
                # What is longer than a batch has one to itself.
                return not batch or len(job.following) <= room

            job = self._queue.first(fits)
            if job is None:
                break
            batch.append((job, job.taken))
            room -= len(job.following)
            self._queue.charge(job, prefill=len(job.following))
            self._account(job)
            job.taken += 1
            if job.taken == len(job.request.inputs):
                self._queue.take(job)
        return batch

    def _account(self, job: _Job) -> None:
        self.telemetry.started(
            queued_s=self._clock() - job.queued_at,
            prompt_tokens=len(job.following),
            cached_tokens=0,
        )
        self._prompt_tokens_total += len(job.following)

    def _embed(self, batch: Sequence[_Item]) -> NDArray[np.float32]:
        inputs = [job.request.inputs[number] for job, number in batch]
        start = self._clock()
        rows = self._backend.embed(inputs)
        self.telemetry.step(
            seconds=self._clock() - start,
            num_decodes=0,
            num_prefill=len(inputs),
            batch_tokens=sum(map(len, inputs)),
        )
        return rows

    def _alone(self, item: _Item) -> list[EmbeddingOutput]:
        """Compute an input by itself."""
        if item[0].is_ended:
            return []
        try:
            rows = self._embed([item])
        except DecodeError as error:
            return self._fail(item[0], error)
        return self._keep(item, rows[0])

    def _keep(self, item: _Item, row: NDArray[np.float32]) -> list[EmbeddingOutput]:
        """Keep an input's vector; return the request's end if it was the last."""
        job, number = item
        if job.is_ended:
            return []
        if not np.isfinite(row).all():
            error = DecodeError("The model computed numbers that are none (NaN).")
            return self._fail(job, error)
        vector = row if self._backend.is_ranking else normalized(row)
        job.vectors[number] = vector.astype("<f4").tobytes()
        if not job.is_done:
            return []
        self._end(job, FinishReason.STOP)
        vectors = tuple(vector for _, vector in sorted(job.vectors.items()))
        return [
            EmbeddingOutput(
                request_id=job.request.request_id,
                num_prompt=job.request.num_prompt,
                vectors=vectors,
                finish_reason=FinishReason.STOP,
            )
        ]

    def _fail(self, job: _Job, error: DecodeError) -> list[EmbeddingOutput]:
        """End a request of which an input cannot be computed."""
        if job.is_ended:
            return []
        self._end(job, FinishReason.FAILED)
        return [
            EmbeddingOutput(
                request_id=job.request.request_id,
                num_prompt=job.request.num_prompt,
                finish_reason=FinishReason.FAILED,
                error=error.message,
                code=error.code,
            )
        ]

    def _end(self, job: _Job, reason: FinishReason) -> None:
        job.is_ended = True
        self._queue.take(job)
        self._queue.leave(job)
        del self._jobs[job.request.request_id]
        seconds = self._clock() - job.queued_at
        for tokens in job.request.inputs:
            self.telemetry.finished(
                reason=reason,
                e2e_s=seconds,
                decode_s=0.0,
                prompt_tokens=len(tokens),
                output_tokens=0,
                max_tokens=None,
            )

    # Life ---------------------------------------------------------------------

    def warm_up(self) -> None:
        """Bring the weights into memory."""
        tokenize = self._backend.tokenizer.tokenize
        self._backend.embed([tokenize("a", special=True) or [0]])

    def tidy(self) -> float | None:
        """Do nothing: nothing waits for the engine to be idle."""
        return None

    def rest(self) -> None:
        """Do nothing: there is nothing to give back."""

    def stats(self) -> EngineStats:
        """Return the state and the totals."""
        begun = sum(job.taken > 0 for job in self._jobs.values())
        return EngineStats(
            num_running=begun,
            num_waiting=len(self._jobs) - begun,
            n_ctx=self._backend.n_ctx_max,
            n_ctx_max=self._backend.n_ctx_max,
            requests_total=self._requests_total,
            prompt_tokens_total=self._prompt_tokens_total,
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless idle means that nothing is queued."""
        if len(self._queue) > len(self._jobs):
            raise AssertionError("something is queued that nobody waits for")

    def close(self) -> None:
        """Free the backend. Idempotent."""
        self._backend.close()


def normalized(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the vector with length 1; the null vector stays as it is."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector


def _begun(job: _Job) -> EmbeddingOutput:
    return EmbeddingOutput(
        request_id=job.request.request_id,
        num_prompt=job.request.num_prompt,
        is_start=True,
    )
