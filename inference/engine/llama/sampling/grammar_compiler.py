"""Makes llguidance's compiler for the vocabulary of a llama.cpp model."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import llama_cpp
from llguidance import LLTokenizer

from inference.engine.structured_output.matcher import GrammarCompiler

if TYPE_CHECKING:
    from inference.engine.llama.bindings.tokenizer import LlamaTokenizer

#: toktrie treats a token that begins with this byte as special.
_SPECIAL = b"\xff"


def grammar_compiler(tokenizer: LlamaTokenizer) -> GrammarCompiler:
    """Return the compiler for a vocabulary. Takes about a second for a large one.

    A token's bytes are those that clients get. A token without bytes is special: it is
    allowed only where a grammar names it.
    """
    tokens = [tokenizer.piece(token) for token in range(tokenizer.n_vocab)]
    special = {
        token: tokenizer.spelling(token)
        for token, text in enumerate(tokens)
        if not text
    }
    for token, name in special.items():
        tokens[token] = _SPECIAL + name if name else b""
    ends = set(tokenizer.ends)
    controls = {
        name.decode("utf-8", "replace"): None if token in ends else token
        for token, name in special.items()
    }
    tokenize = ctypes.cast(llama_cpp.llama_cpp._lib.llama_tokenize, ctypes.c_void_p)
    return GrammarCompiler(
        # llguidance's own adapter calls it too; it has no stub.
        LLTokenizer.from_llamacpp(  # type: ignore[attr-defined]
            tokens=tokens,
            vocab_ptr=tokenizer.vocab,
            tokenize_fptr=tokenize.value,
            eos_token=list(tokenizer.ends),
            slices=None,
        ),
        controls,
    )
