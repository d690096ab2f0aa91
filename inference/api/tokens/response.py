"""The answers of POST /tokenize, /detokenize and /apply-template."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from inference.transport.messages.events import Tokenized


class TokenPiece(TypedDict):
    """A token and its text, or its bytes if they are not valid UTF-8."""

    id: int
    piece: str | list[int]


class TokenList(TypedDict):
    """The answer of POST /tokenize."""

    tokens: list[int] | list[TokenPiece]
    count: int


class TokenText(TypedDict):
    """The answer of POST /detokenize: the same text under two names."""

    content: str
    prompt: str


class TemplatePrompt(TypedDict):
    """The answer of POST /apply-template."""

    prompt: str


def token_list(tokenized: Tokenized, *, with_pieces: bool) -> TokenList:
    """Return tokens as an answer, each with its text if requested."""
    tokens = _pieces(tokenized) if with_pieces else list(tokenized.tokens)
    return {"tokens": tokens, "count": len(tokenized.tokens)}


def _pieces(tokenized: Tokenized) -> list[TokenPiece]:
    return [
        {"id": token, "piece": _piece(piece)}
        for token, piece in zip(tokenized.tokens, tokenized.pieces, strict=True)
    ]


def _piece(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
