"""Text to tokens and back, answered by a worker's I/O side: no step is needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from inference.engine.errors import InvalidRequest
from inference.transport.messages import (
    Accepted,
    Detokenize,
    Detokenized,
    Event,
    Finished,
    Tokenize,
    Tokenized,
    Usage,
)

if TYPE_CHECKING:
    from inference.engine.backend import Tokenizer

#: What is longer is worked on off the I/O loop: characters, or tokens.
_LONG = 20_000


async def tokenizing_events(
    asked: Tokenize | Detokenize, tokenizer: Tokenizer
) -> list[Event]:
    """Return the whole answer. Raises EngineError."""
    said: Event
    if len(asked.text if isinstance(asked, Tokenize) else asked.tokens) > _LONG:
        said = await asyncio.to_thread(tokenizing_answer, asked, tokenizer)
    else:
        said = tokenizing_answer(asked, tokenizer)
    return [
        Accepted(asked.request_id, 0),
        said,
        Finished(asked.request_id, "stop", "", Usage()),
    ]


def tokenizing_answer(
    asked: Tokenize | Detokenize, tokenizer: Tokenizer
) -> Tokenized | Detokenized:
    """Return the answer to one question. Raises EngineError."""
    if isinstance(asked, Tokenize):
        tokens = tokenizer.tokenize(
            asked.text, special=asked.special, parse_special=asked.parse_special
        )
        pieces = map(tokenizer.spelling, tokens)
        return Tokenized(asked.request_id, tuple(tokens), tuple(pieces))
    for index, token in enumerate(asked.tokens):
        if not 0 <= token < tokenizer.n_vocab:
            raise InvalidRequest(
                f"'{asked.path}[{index}]' is the token id {token}; this model's are "
                f"0 to {tokenizer.n_vocab - 1}.",
                param=f"{asked.path}[{index}]",
            )
    return Detokenized(asked.request_id, tokenizer.detokenize(list(asked.tokens)))
