"""Ends answers by their tokens: an end token, the maximum length, the context.

Stop strings are text; they are in ``sampling.stop_strings``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.sequence import FinishReason

if TYPE_CHECKING:
    from inference.engine.backend import Tokenizer
    from inference.engine.sequence import Sequence


def is_end(sequence: Sequence, token: int, tokenizer: Tokenizer) -> bool:
    """Whether a token ends the sequence's answer, and is not part of its text."""
    return token in sequence.params.stop_token_ids or tokenizer.is_end(token)


def check_stop(sequence: Sequence, tokenizer: Tokenizer, n_ctx_max: int) -> None:
    """Finish a sequence whose newest token is its last (vLLM: ``check_stop``)."""
    if is_end(sequence, sequence.tokens[-1], tokenizer):
        sequence.finish(FinishReason.STOP)
        return
    most = sequence.params.max_tokens
    is_limit = most is not None and sequence.num_output >= most
    if is_limit or len(sequence.tokens) >= n_ctx_max:
        sequence.finish(FinishReason.LENGTH)
