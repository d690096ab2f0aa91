"""A model's vocabulary."""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp

from inference.engine.errors import InvalidRequest


class LlamaTokenizer:
    """The vocabulary of a model. Thread-safe: llama.cpp's is read-only."""

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab
        self.n_vocab: int = llama_cpp.llama_vocab_n_tokens(vocab)
        self._pieces: dict[int, bytes] = {}

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens; ``special`` puts BOS where the model wants one.

        Special tokens that the text spells out are taken for what they are: the
        chat template writes its marks that way.
        """
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        buffer = (llama_cpp.llama_token * size)()
        count = llama_cpp.llama_tokenize(
            self._vocab, data, len(data), buffer, size, special, True
        )
        if count < 0:
            raise InvalidRequest("The prompt cannot be tokenized.", param="prompt")
        return buffer[:count]  # type: ignore[no-any-return]

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; control tokens have none."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._read_piece(token)
        return piece

    def _read_piece(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_token_to_piece(
                self._vocab, token, buffer, size, 0, False
            )
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation (EOS, EOT, …)."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))
