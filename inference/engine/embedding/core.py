"""The engine of embedding and ranking models: a step is one batch of whole texts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from inference.engine.errors import DecodeError
from inference.engine.output import EngineStats, PoolingOutput
from inference.engine.scheduling.fairness.fair_queue import FairQueue
from inference.engine.sequence import FinishReason
from inference.engine.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from inference.engine.embedding.backend import EmbeddingBackend
    from inference.engine.request import PoolingRequest
    from inference.engine.sequence import Arrival


@dataclass(slots=True, eq=False)
class _Progress:
    """How far a request is: how many of its inputs were taken, and their vectors."""

    request: PoolingRequest
    arrival: int
    queued_at: float
    taken: int = 0
    vectors: dict[int, bytes] = field(default_factory=dict)
    is_ended: bool = False

    @property
    def next_input(self) -> list[int]:
        """The tokens of the input that is next."""
        return self.request.input_token_ids[self.taken]

    @property
    def is_done(self) -> bool:
        """Whether every input has its vector."""
        return len(self.vectors) == len(self.request.input_token_ids)


#: The most tokens of a batch of requests that are ``idle_only``.
_IDLE_TOKENS = 512

#: One input: its request, and its index there.
_Input = tuple[_Progress, int]


class EmbeddingCore:
    """Computes vectors on one backend. Not thread-safe: one thread owns it.

    A batch takes inputs one by one from all waiting requests, in the order that is
    fair between keys: a request with thousands of inputs does not delay one with a
    single input.
    """

    def __init__(
        self,
        backend: EmbeddingBackend,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._queue: FairQueue[_Progress] = FairQueue()
        self._requests: dict[str, _Progress] = {}
        self._arrivals = count()
        self.telemetry = Telemetry(n_ctx=backend.n_ctx_max, n_ctx_max=backend.n_ctx_max)
        #: No batch waits for a request.
        self.wait_s = 0.0
        self._requests_total = 0
        self._prompt_tokens_total = 0

    @property
    def has_work(self) -> bool:
        """Whether a step would do something."""
        return bool(self._requests)

    def add(self, request: PoolingRequest, arrival: Arrival | None = None) -> None:
        """Queue a request; ``check_inputs`` has been asked before.

        It comes now, or had an ``arrival`` since which a batch may have run.
        """
        queued_at = arrival.at if arrival else self._clock()
        progress = _Progress(request, next(self._arrivals), queued_at)
        self._requests[request.request_id] = progress
        self._queue.enter(progress)
        self._requests_total += 1

    def abort(self, request_ids: Iterable[str]) -> None:
        """End these requests before the next step, without an output."""
        for request_id in request_ids:
            progress = self._requests.get(request_id)
            if progress is not None:
                self._end(progress, FinishReason.ABORTED)

    # A step -------------------------------------------------------------------

    def step(self) -> list[PoolingOutput]:
        """Compute one batch; return the requests that began, ended or failed in it."""
        batch = self._fill()
        if not batch:
            return []
        outputs = [_begun(progress) for progress, number in batch if number == 0]
        try:
            rows = self._embed(batch)
        except DecodeError as error:
            if len(batch) == 1:
                return outputs + self._fail(batch[0][0], error)
            # One of them is at fault: computed one by one, only that request fails.
            return outputs + [o for item in batch for o in self._alone(item)]
        return outputs + [
            output
            for item, row in zip(batch, rows, strict=True)
            for output in self._keep(item, row)
        ]

    def _fill(self) -> list[_Input]:
        """Take inputs off the queue until the batch is full."""
        batch: list[_Input] = []
        room = self._backend.n_batch
        if self._queue.is_idle:
            # Who comes meanwhile waits for this step.
            room = min(room, _IDLE_TOKENS)
        while len(batch) < self._backend.layout.n_seq_max:

            def fits(progress: _Progress, room: int = room) -> bool:
                # An input that is longer than a batch gets one of its own.
                return not batch or len(progress.next_input) <= room

            progress = self._queue.first(fits)
            if progress is None:
                break
            batch.append((progress, progress.taken))
            room -= len(progress.next_input)
            self._queue.charge(progress, prefill=len(progress.next_input))
            self._account(progress)
            progress.taken += 1
            if progress.taken == len(progress.request.input_token_ids):
                self._queue.take(progress)
        return batch

    def _account(self, progress: _Progress) -> None:
        self.telemetry.started(
            queued_s=self._clock() - progress.queued_at,
            prompt_tokens=len(progress.next_input),
            cached_tokens=0,
        )
        self._prompt_tokens_total += len(progress.next_input)

    def _embed(self, batch: Sequence[_Input]) -> NDArray[np.float32]:
        inputs = [
            progress.request.input_token_ids[number] for progress, number in batch
        ]
        start = self._clock()
        rows = self._backend.embed(inputs)
        self.telemetry.step(
            seconds=self._clock() - start,
            num_decodes=0,
            num_prefill=len(inputs),
            batch_tokens=sum(map(len, inputs)),
        )
        return rows

    def _alone(self, item: _Input) -> list[PoolingOutput]:
        """Compute an input by itself."""
        if item[0].is_ended:
            return []
        try:
            rows = self._embed([item])
        except DecodeError as error:
            return self._fail(item[0], error)
        return self._keep(item, rows[0])

    def _keep(self, item: _Input, row: NDArray[np.float32]) -> list[PoolingOutput]:
        """Store an input's vector; return the finished request if it was the last."""
        progress, number = item
        if progress.is_ended:
            return []
        if not np.isfinite(row).all():
            error = DecodeError("The model computed numbers that are none (NaN).")
            return self._fail(progress, error)
        vector = row if self._backend.is_ranking else normalized(row)
        progress.vectors[number] = vector.astype("<f4").tobytes()
        if not progress.is_done:
            return []
        self._end(progress, FinishReason.STOP)
        vectors = tuple(vector for _, vector in sorted(progress.vectors.items()))
        return [
            PoolingOutput(
                request_id=progress.request.request_id,
                num_prompt=progress.request.num_prompt,
                vectors=vectors,
                finish_reason=FinishReason.STOP,
            )
        ]

    def _fail(self, progress: _Progress, error: DecodeError) -> list[PoolingOutput]:
        """End a request because one of its inputs cannot be computed."""
        if progress.is_ended:
            return []
        self._end(progress, FinishReason.FAILED)
        return [
            PoolingOutput(
                request_id=progress.request.request_id,
                num_prompt=progress.request.num_prompt,
                finish_reason=FinishReason.FAILED,
                error=error.message,
                code=error.code,
            )
        ]

    def _end(self, progress: _Progress, reason: FinishReason) -> None:
        progress.is_ended = True
        self._queue.take(progress)
        self._queue.leave(progress)
        del self._requests[progress.request.request_id]
        seconds = self._clock() - progress.queued_at
        for tokens in progress.request.input_token_ids:
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
        """Do nothing: there is no work for idle times."""
        return None

    def rest(self) -> None:
        """Do nothing: there is nothing to give back."""

    def stats(self) -> EngineStats:
        """Return the state and the totals."""
        begun = sum(progress.taken > 0 for progress in self._requests.values())
        return EngineStats(
            num_running=begun,
            num_waiting=len(self._requests) - begun,
            n_ctx=self._backend.n_ctx_max,
            n_ctx_max=self._backend.n_ctx_max,
            requests_total=self._requests_total,
            prompt_tokens_total=self._prompt_tokens_total,
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless idle means that nothing is queued."""
        if len(self._queue) > len(self._requests):
            raise AssertionError("a request is queued that is not known")

    def close(self) -> None:
        """Free the backend. Idempotent."""
        self._backend.close()


def normalized(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the vector with length 1; the zero vector stays as it is."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector


def _begun(progress: _Progress) -> PoolingOutput:
    return PoolingOutput(
        request_id=progress.request.request_id,
        num_prompt=progress.request.num_prompt,
        is_start=True,
    )
