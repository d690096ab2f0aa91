"""Fill-in-the-middle: whether a vocabulary has the tokens for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

#: For each part of an infill prompt: the header's key of its token and an older key,
#: then the texts that llama.cpp (src/llama-vocab.cpp) recognises without a key.
_PARTS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("fim_pre", "prefix"),
        (
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<\uff5cfim\u2581begin\uff5c>",
            "<PRE>",
            "\u2581<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
        ),
    ),
    (
        ("fim_suf", "suffix"),
        (
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<\uff5cfim\u2581hole\uff5c>",
            "<SUF>",
            "\u2581<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
        ),
    ),
    (
        ("fim_mid", "middle"),
        (
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<\uff5cfim\u2581end\uff5c>",
            "<MID>",
            "\u2581<MID>",
            "<|code_middle|>",
            "<|middle|>",
        ),
    ),
)


def supports_infill(fields: Container[str], known_tokens: frozenset[str]) -> bool:
    """Return whether llama.cpp will find a token for each part of an infill prompt.

    ``known_tokens`` are those of ``TEXTS`` that are in the vocabulary.
    """
    return all(
        any(f"tokenizer.ggml.{name}_token_id" in fields for name in names)
        or not known_tokens.isdisjoint(texts)
        for names, texts in _PARTS
    )


#: The texts that are searched for in a vocabulary.
TEXTS = frozenset(text for _, texts in _PARTS for text in texts)
