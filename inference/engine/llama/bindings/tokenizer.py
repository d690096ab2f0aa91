"""Tokenizes and detokenizes with a model's vocabulary."""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp

from inference.engine.errors import InvalidRequest
from inference.engine.infill import InfillTokens


class LlamaTokenizer:
    """The vocabulary of a model. Thread-safe: llama.cpp's is read-only."""

    def __init__(self, vocab: Any) -> None:
        self.vocab = vocab
        self.n_vocab: int = llama_cpp.llama_vocab_n_tokens(vocab)
        self._pieces: dict[int, bytes] = {}
        #: Every token that ends a generation.
        self.ends = tuple(
            token
            for token in range(self.n_vocab)
            if llama_cpp.llama_vocab_is_eog(self.vocab, token)
        )
        self._ends = frozenset(self.ends)
        #: Tokens that must not be sampled, according to the model's file.
        self.suppressed = self._read_suppressed()
        #: The tokens for infilling, if the vocabulary has them.
        self.infill = self._read_infill()

    def tokenize(
        self, text: str, *, special: bool, parse_special: bool = True
    ) -> list[int]:
        """Return the tokens; ``special`` adds BOS, EOS and SEP as the model requires.

        With ``parse_special`` the text of a control token becomes that token: chat
        templates write control tokens as text.
        """
        data = text.encode("utf-8", "replace")
        # Without a token for it, a space takes up to three tokens.
        size = 3 * len(data) + 8
        buffer = (llama_cpp.llama_token * size)()
        count = llama_cpp.llama_tokenize(
            self.vocab, data, len(data), buffer, size, special, parse_special
        )
        if count < 0:
            raise InvalidRequest("The prompt cannot be tokenized.", param="prompt")
        return buffer[:count]  # type: ignore[no-any-return]

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of tokens; a control token's is its name.

        An incomplete character becomes U+FFFD.
        """
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        size = 8 * len(tokens) + 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_detokenize(
                self.vocab, array, len(tokens), buffer, size, False, True
            )
            if count >= 0:
                return buffer.raw[:count].decode("utf-8", "replace")
            size = -count

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; control tokens have none."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._read_piece(token, special=False)
        return piece

    def spelling(self, token: int) -> bytes:
        """Return the bytes of a token; a control token's are its name."""
        return self.piece(token) or self._read_piece(token, special=True)

    def _read_piece(self, token: int, *, special: bool) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_token_to_piece(
                self.vocab, token, buffer, size, 0, special
            )
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def _read_suppressed(self) -> tuple[int, ...]:
        count = ctypes.c_int32()
        tokens = llama_cpp.llama_vocab_get_suppress_tokens(
            self.vocab, ctypes.byref(count)
        )
        named = tokens[: count.value] if tokens else []
        return tuple(token for token in named if 0 <= token < self.n_vocab)

    def _read_infill(self) -> InfillTokens | None:
        prefix = llama_cpp.llama_vocab_fim_pre(self.vocab)
        suffix = llama_cpp.llama_vocab_fim_suf(self.vocab)
        middle = llama_cpp.llama_vocab_fim_mid(self.vocab)
        if min(prefix, suffix, middle) < 0:
            return None
        has_bos = llama_cpp.llama_vocab_get_add_bos(self.vocab)
        bos = llama_cpp.llama_vocab_bos(self.vocab) if has_bos else None
        return InfillTokens(prefix, suffix, middle, bos)

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation (EOS, EOT, …)."""
        return token in self._ends
