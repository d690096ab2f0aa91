"""The engine: a step is schedule, decode, update."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from inference.engine.detokenizer import Detokenizer
from inference.engine.errors import ContextExceeded, DecodeError, InvalidRequest
from inference.engine.output import EngineStats, SequenceOutput
from inference.engine.scheduler import Scheduler
from inference.engine.sequence import FinishReason, Sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference.engine.backend import Backend
    from inference.engine.plan import StepPlan
    from inference.engine.sampling_params import SamplingParams


class EngineCore:
    """Runs sequences on one backend. Not thread-safe: one thread owns it."""

    def __init__(
        self, backend: Backend, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._backend = backend
        self._tokenizer = backend.tokenizer
        self._clock = clock
        self._scheduler = Scheduler(
            n_seq_max=backend.n_seq_max,
            n_ctx=backend.n_ctx,
            n_batch=backend.n_batch,
            tokenizer=backend.tokenizer,
        )
        self._requests_total = 0
        self._prompt_tokens_total = 0
        self._output_tokens_total = 0

    @property
    def has_work(self) -> bool:
        """Whether a step would do something."""
        return bool(self._scheduler.num_running or self._scheduler.num_waiting)

    def add(
        self,
        request_id: str,
        prompt: list[int],
        params: SamplingParams,
        resume: tuple[int, ...] = (),
    ) -> None:
        """Queue a sequence; ``check_request`` has been asked before.

        ``resume`` are output tokens of an earlier worker: the text that they
        made is not given out again.
        """
        detokenizer = Detokenizer(params.stop)
        for token in resume:
            detokenizer.push(self._tokenizer.piece(token))
        self._scheduler.add(
            Sequence(
                request_id=request_id,
                tokens=[*prompt, *resume],
                num_prompt=len(prompt),
                params=params,
                detokenizer=detokenizer,
            )
        )
        self._requests_total += 1

    def abort(self, request_ids: Iterable[str]) -> None:
        """End these requests before the next step; no output comes of it."""
        if self._scheduler.abort(request_ids):
            self._release()

    def step(self) -> list[SequenceOutput]:
        """Compute one step; return what every sequence in it gained."""
        self._open_slots()
        plan = self._scheduler.schedule()
        if not plan.items:
            return []
        start = self._clock()
        try:
            sampled = self._backend.decode(plan)
        except DecodeError as error:
            return self._fail(plan, error)
        self._account(plan, self._clock() - start)
        outputs = [
            self._output(sequence) for sequence in self._scheduler.update(plan, sampled)
        ]
        if any(output.finish_reason is not None for output in outputs):
            self._release()
        return outputs

    def _open_slots(self) -> None:
        for sequence in self._scheduler.admit():
            self._backend.open_slot(
                sequence.slot or 0, sequence.params, sequence.output
            )

    def _account(self, plan: StepPlan, seconds: float) -> None:
        decodes = plan.num_decodes
        prefill = plan.num_tokens - decodes
        self._scheduler.pacer.observe(decodes, prefill, seconds)
        self._prompt_tokens_total += prefill

    def _output(self, sequence: Sequence) -> SequenceOutput:
        """Return what the newest token of a sequence adds."""
        token = sequence.tokens[-1]
        self._output_tokens_total += 1
        text = ""
        if sequence.finish_reason is not FinishReason.STOP:
            text = sequence.detokenizer.push(self._tokenizer.piece(token))
            if sequence.detokenizer.is_stopped:
                self._scheduler.finish(sequence, FinishReason.STOP)
        if sequence.is_finished:
            text += sequence.detokenizer.flush()
        return SequenceOutput(
            request_id=sequence.request_id,
            tokens=(token,),
            text=text,
            finish_reason=sequence.finish_reason,
            num_prompt=sequence.num_prompt,
            num_output=sequence.num_output,
        )

    def _fail(self, plan: StepPlan, error: DecodeError) -> list[SequenceOutput]:
        """End the sequences of a step that could not be computed."""
        outputs = []
        for item in plan.items:
            self._scheduler.finish(item.sequence, FinishReason.FAILED)
            outputs.append(
                SequenceOutput(
                    request_id=item.sequence.request_id,
                    tokens=(),
                    text="",
                    finish_reason=FinishReason.FAILED,
                    num_prompt=item.sequence.num_prompt,
                    num_output=item.sequence.num_output,
                    error=error.message,
                )
            )
        self._release()
        return outputs

    def _release(self) -> None:
        for slot, _ in self._scheduler.release():
            self._backend.close_slot(slot)

    def stats(self) -> EngineStats:
        """Return the state and the totals."""
        return EngineStats(
            num_running=self._scheduler.num_running,
            num_waiting=self._scheduler.num_waiting,
            kv_cells_used=self._scheduler.num_cells,
            kv_cells_total=self._backend.n_ctx * self._backend.n_seq_max,
            requests_total=self._requests_total,
            prompt_tokens_total=self._prompt_tokens_total,
            output_tokens_total=self._output_tokens_total,
        )

    def check_integrity(self) -> None:
        """Raise AssertionError unless the books balance."""
        self._scheduler.check_integrity()

    def close(self) -> None:
        """Free the backend. Idempotent."""
        self._backend.close()


def check_request(
    *, prompt: list[int], params: SamplingParams, n_ctx: int, n_vocab: int
) -> None:
    """Raise InvalidRequest if the request can never run on this model.

    Pure, so that it can be asked on any thread before the request is queued.
    """
    if not prompt:
        raise InvalidRequest("The prompt has no tokens.", param="prompt")
    if len(prompt) >= n_ctx:
        raise ContextExceeded(
            f"This model's context in force is {n_ctx} tokens, but the prompt has "
            f"{len(prompt)} tokens, which leaves no room for an answer. "
            "Shorten the prompt.",
            param="prompt",
        )
    for token in prompt:
        if not 0 <= token < n_vocab:
            raise InvalidRequest(
                f"The prompt has the token id {token}; this model's are 0 to "
                f"{n_vocab - 1}.",
                param="prompt",
            )
    for token, _ in params.logit_bias:
        if not 0 <= token < n_vocab:
            raise InvalidRequest(
                f"logit_bias has the token id {token}; this model's are 0 to "
                f"{n_vocab - 1}.",
                param="logit_bias",
            )
