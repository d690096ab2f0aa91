"""Logprobs in OpenAI's two formats, of chats and of text completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inference.api.streaming.response_objects import (
        ChatLogprobs,
        ContentLogprob,
        TextLogprobs,
        TopLogprob,
    )
    from inference.engine.sampling.logprobs import TokenLogprob, TokenLogprobs

#: OpenAI's value for a probability of practically 0: JSON has no infinity.
_LEAST = -9999.0


def chat_logprobs(tokens: Iterable[TokenLogprobs]) -> ChatLogprobs:
    """Return the logprobs of a chat answer or of a part of it."""
    content: list[ContentLogprob] = [
        {**_top(token.chosen), "top_logprobs": [_top(each) for each in token.top]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def text_logprobs(
    tokens: Sequence[TokenLogprobs], *, start: int, is_prompt: bool = False
) -> TextLogprobs:
    """Return the logprobs of a text answer or of a part of it.

    ``start`` is the offset of the first token. A prompt's first token has no logprob.
    """
    logprobs: TextLogprobs = {
        "tokens": [],
        "token_logprobs": [],
        "top_logprobs": [],
        "text_offset": [],
    }
    for index, token in enumerate(tokens):
        is_first = is_prompt and index == 0
        logprobs["tokens"].append(_name(token.chosen.piece))
        logprobs["token_logprobs"].append(None if is_first else _value(token.chosen))
        logprobs["top_logprobs"].append(None if is_first else _alternatives(token))
        logprobs["text_offset"].append(max(start, 0))
        start += num_characters([token])
    return logprobs


def joined(first: TextLogprobs, second: TextLogprobs) -> TextLogprobs:
    """Return the logprobs of two consecutive pieces of text."""
    return {
        "tokens": first["tokens"] + second["tokens"],
        "token_logprobs": first["token_logprobs"] + second["token_logprobs"],
        "top_logprobs": first["top_logprobs"] + second["top_logprobs"],
        "text_offset": first["text_offset"] + second["text_offset"],
    }


def num_characters(tokens: Iterable[TokenLogprobs]) -> int:
    """Return how many characters start in the tokens' UTF-8."""
    return sum(byte & 0xC0 != 0x80 for token in tokens for byte in token.chosen.piece)


def mean_logprob(tokens: Sequence[TokenLogprobs]) -> float:
    """Return the mean logprob of an answer's tokens; 0 if it has none."""
    if not tokens:
        return 0.0
    return sum(token.chosen.logprob for token in tokens) / len(tokens)


def _top(token: TokenLogprob) -> TopLogprob:
    return {
        "token": _text(token.piece) or _escaped(token.piece),
        "logprob": _value(token),
        "bytes": list(token.piece),
    }


def _alternatives(token: TokenLogprobs) -> dict[str, float]:
    """Return the most likely tokens and the chosen one.

    Of tokens with equal names, the most likely counts.
    """
    alternatives: dict[str, float] = {}
    for each in (*token.top, token.chosen):
        alternatives.setdefault(_name(each.piece), _value(each))
    return alternatives


def _value(token: TokenLogprob) -> float:
    return token.logprob if token.logprob > _LEAST else _LEAST


def _name(piece: bytes) -> str:
    """Return a token's name in a text answer; its bytes may be no whole character."""
    return _text(piece) or (f"bytes:{_escaped(piece)}" if piece else "")


def _text(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return ""


def _escaped(piece: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in piece)
