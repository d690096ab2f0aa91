"""What a step of the engine returns: the transport carries it whole."""

# The codec of the transport reads these annotations: their types are imported.

from __future__ import annotations

from dataclasses import dataclass

from inference.engine.sampling.logprobs import TokenLogprobs
from inference.engine.sequence import FinishReason


@dataclass(frozen=True, slots=True)
class SequenceOutput:
    """New tokens of a sequence, the text that became certain, and its end.

    ``is_start`` says that it has got a slot and its prefill begins. Counts are of
    tokens; ``num_cached`` are those of the prompt that needed no prefill,
    ``num_drafted`` those of drafts, ``num_accepted`` those of drafts that were right;
    ``num_predicted`` and ``num_predicted_right`` those of them whose draft came from
    the client's prediction; ``num_audio`` those of the prompt that are sounds.
    ``logprobs`` has one entry for each of ``tokens``, if they were requested;
    ``prompt_logprobs`` come with the first token, one for each token of the prompt:
    nothing is before the first, so its probability is 1. A worker that takes over a
    sequence returns them again. ``finish_reason`` is None while it runs; ``error`` is
    the reason of a failed one, ``code`` its kind; ``stopped_by`` is the stop string
    that ended the text, if one did.
    """

    request_id: str
    num_prompt: int
    num_output: int
    num_cached: int
    num_drafted: int = 0
    num_accepted: int = 0
    num_predicted: int = 0
    num_predicted_right: int = 0
    tokens: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[TokenLogprobs, ...] = ()
    prompt_logprobs: tuple[TokenLogprobs, ...] = ()
    is_start: bool = False
    finish_reason: FinishReason | None = None
    error: str = ""
    code: str = ""
    stopped_by: str = ""
    num_audio: int = 0

    @property
    def is_last(self) -> bool:
        """Whether nothing more comes of the request."""
        return self.finish_reason is not None


@dataclass(frozen=True, slots=True)
class PoolingOutput:
    """What a step gives of a request for vectors: that it has begun, or its end.

    ``vectors`` has one for each input, in their order, as float32 in little-endian
    bytes; it is empty unless ``finish_reason`` is STOP. A model that ranks gives one
    number, the score. ``num_cached`` is 0: nothing is kept of a text. ``error`` is the
    reason of a failed one, ``code`` its kind.
    """

    request_id: str
    num_prompt: int
    vectors: tuple[bytes, ...] = ()
    num_cached: int = 0
    is_start: bool = False
    finish_reason: FinishReason | None = None
    error: str = ""
    code: str = ""

    @property
    def is_last(self) -> bool:
        """Whether nothing more comes of the request."""
        return self.finish_reason is not None


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    """How many tokens of a sequence's prompt are computed or cached, of how many."""

    request_id: str
    computed: int
    total: int


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The engine's state and totals at one moment, most of them counts.

    ``prompt_tokens_total`` counts the prompts of requests as their usage does: also
    the tokens that were cached, and the prompt of several answers once. ``n_ctx`` are
    the positions that a sequence can have now, ``n_ctx_max`` those that it can get.
    ``prefills`` are of the sequences that have no token of an answer yet.
    """

    num_running: int = 0
    num_waiting: int = 0
    kv_cells_used: int = 0
    kv_cells_total: int = 0
    n_ctx: int = 0
    n_ctx_max: int = 0
    requests_total: int = 0
    prompt_tokens_total: int = 0
    output_tokens_total: int = 0
    prefills: tuple[PrefillProgress, ...] = ()
