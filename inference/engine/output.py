"""What a step gives to the outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.engine.sampling.logprobs import TokenLogprobs
    from inference.engine.sequence import FinishReason


@dataclass(frozen=True, slots=True)
class SequenceOutput:
    """New tokens of a sequence, the text that became certain, and its end.

    ``is_start`` says that it has got a slot and its prefill begins. Counts are of
    tokens; ``num_cached`` are those of the prompt that needed no prefill,
    ``num_drafted`` those guessed, ``num_accepted`` those guessed right.
    ``logprobs`` has one entry for each of ``tokens``, if they were asked for;
    ``prompt_logprobs`` come with the first token, one for each token of the prompt.
    ``finish_reason`` is None while it runs; ``error`` is the reason
    of a failed one, ``code`` its kind.
    """

    request_id: str
    num_prompt: int
    num_output: int
    num_cached: int
    num_drafted: int = 0
    num_accepted: int = 0
    tokens: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[TokenLogprobs, ...] = ()
    prompt_logprobs: tuple[TokenLogprobs, ...] = ()
    is_start: bool = False
    finish_reason: FinishReason | None = None
    error: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The engine's state and totals at one moment, all of them counts.

    ``n_ctx`` are the positions that a sequence can have now, ``n_ctx_max`` those
    that it can get.
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
