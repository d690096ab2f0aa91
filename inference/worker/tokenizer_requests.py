"""Answers requests to tokenize and detokenize, without the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.errors import InvalidRequest
from inference.engine.request import TokenizationRequest
from inference.transport.messages.events import Detokenized, Tokenized

if TYPE_CHECKING:
    from inference.engine.backend import Tokenizer
    from inference.engine.request import TokenizerRequest


def answer_now(
    request: TokenizerRequest, tokenizer: Tokenizer
) -> Tokenized | Detokenized:
    """Return the answer. Raises EngineError."""
    if isinstance(request, TokenizationRequest):
        tokens = tokenizer.tokenize(
            request.text,
            special=request.add_special_tokens,
            parse_special=request.parse_special,
        )
        pieces = map(tokenizer.spelling, tokens)
        return Tokenized(request.request_id, tuple(tokens), tuple(pieces))
    for index, token in enumerate(request.tokens):
        if not 0 <= token < tokenizer.n_vocab:
            raise InvalidRequest(
                f"'{request.path}[{index}]' is the token id {token}; this model's are "
                f"0 to {tokenizer.n_vocab - 1}.",
                param=f"{request.path}[{index}]",
            )
    return Detokenized(request.request_id, tokenizer.detokenize(list(request.tokens)))
