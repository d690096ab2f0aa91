"""Turns sampled tokens into outputs: text, token counts, finish reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.engine.output import SequenceOutput
from inference.engine.sampling.detokenizer import Detokenizer
from inference.engine.scheduling.end_of_answer import is_end
from inference.engine.sequence import FinishReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.backend import Tokenizer
    from inference.engine.request import GenerationRequest
    from inference.engine.sampling.params import SamplingParams
    from inference.engine.scheduling.scheduler import NewTokens
    from inference.engine.sequence import Sequence
    from inference.engine.telemetry import Telemetry


class OutputProcessor:
    """Turns new tokens into outputs; ends sequences at stop strings."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._tokenizer = tokenizer
        self._telemetry = telemetry
        self._clock = clock

    def detokenizer(self, request: GenerationRequest) -> Detokenizer:
        """Return the detokenizer of a request, after the tokens that it resumes."""
        params = request.params
        detokenizer = Detokenizer(
            params.stop,
            min_tokens=params.min_tokens,
            includes_stop=params.include_stop_str_in_output,
        )
        for token in request.resume:
            detokenizer.push(self._piece(params, token))
        return detokenizer

    def started(self, sequence: Sequence) -> SequenceOutput:
        """Return the output for a sequence that has got a slot."""
        return _output(sequence, is_start=True)

    def ended(self, sequence: Sequence) -> SequenceOutput:
        """Return the last output of a sequence that got no token in the step."""
        is_failed = sequence.finish_reason is FinishReason.FAILED
        text = "" if is_failed else sequence.detokenizer.flush()
        return _output(sequence, text=text, **_error(sequence))

    def process(self, new: NewTokens) -> SequenceOutput:
        """Return the output for new tokens; a stop string may end the sequence."""
        sequence = new.sequence
        tokens = sequence.tokens[len(sequence.tokens) - new.count :]
        text = self._text(sequence, tokens)
        more: dict[str, Any] = _error(sequence)
        if sequence.prompt_logprobs:
            more["prompt_logprobs"] = sequence.prompt_logprobs
            sequence.prompt_logprobs = ()
        if tokens:
            self._observe_latency(sequence, len(tokens))
        return _output(
            sequence, tokens=tuple(tokens), text=text, logprobs=new.logprobs, **more
        )

    def _text(self, sequence: Sequence, tokens: list[int]) -> str:
        """Return the text that is certain after new tokens."""
        detokenizer = sequence.detokenizer
        params = sequence.params
        if tokens and is_end(sequence, tokens[-1], self._tokenizer):
            # The token that ends an answer is not part of its text, except if
            # requested, or if it is a control token that the request wants in the text.
            is_asked_for = params.include_stop_str_in_output
            if not is_asked_for and not self._is_visible(params, tokens[-1]):
                tokens = tokens[:-1]
        text = ""
        for token in tokens:
            text += detokenizer.push(self._piece(params, token))
            if detokenizer.is_stopped:
                sequence.finish(FinishReason.STOP)
                break
        if sequence.is_finished:
            text += detokenizer.flush()
        return text

    def _piece(self, params: SamplingParams, token: int) -> bytes:
        """Return the bytes of a token; of a visible control token, its name."""
        is_visible = self._is_visible(params, token)
        tokenizer = self._tokenizer
        return tokenizer.spelling(token) if is_visible else tokenizer.piece(token)

    def _is_visible(self, params: SamplingParams, token: int) -> bool:
        """Whether it is a control token that the request wants in the text."""
        if not params.control_tokens or self._tokenizer.piece(token):
            return False
        name = self._tokenizer.spelling(token).decode("utf-8", "replace")
        return name in params.control_tokens

    def _observe_latency(self, sequence: Sequence, count: int) -> None:
        now = self._clock()
        if sequence.last_token_at is None:
            sequence.first_token_at = now
            started_at = sequence.started_at
            self._telemetry.first_token(
                ttft_s=now - sequence.queued_at,
                prefill_s=now - started_at if started_at is not None else 0.0,
            )
        else:
            self._telemetry.token_gap(now - sequence.last_token_at, count)
        sequence.last_token_at = now


def _error(sequence: Sequence) -> dict[str, Any]:
    if sequence.error is None:
        return {}
    return {"error": sequence.error.message, "code": sequence.error.code}


def _output(sequence: Sequence, **more: Any) -> SequenceOutput:
    return SequenceOutput(
        request_id=sequence.request_id,
        num_prompt=sequence.num_prompt,
        num_output=sequence.num_output,
        num_cached=sequence.num_cached,
        num_drafted=sequence.num_drafted,
        num_accepted=sequence.num_accepted,
        num_predicted=sequence.num_predicted,
        num_predicted_right=sequence.num_predicted_right,
        finish_reason=sequence.finish_reason,
        stopped_by=sequence.detokenizer.stopped_by if sequence.is_finished else "",
        num_audio=sequence.request.num_audio,
        **more,
    )
