"""Draft models: checks whether one model can draft the tokens of another.

An unfit draft model is refused when it is chosen, not when the model is loaded. The
rules are those of llama.cpp's common_speculative_are_compatible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.errors import InvalidGGUF
from registry.gguf.header import SkippedValue
from registry.model_facts import GENERATIVE
from registry.scan.files import read_headers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.gguf.header import Value
    from registry.gguf.memory_shape import MemoryShape
    from registry.model_facts import ModelFacts

#: Vocabularies may be padded at the end, but not by more than this.
_MAX_SIZE_DIFFERENCE = 128
_TOKENS = "tokenizer.ggml.tokens"


def can_rewind(shape: MemoryShape | None) -> bool:
    """Whether a model can remove rejected draft tokens from its memory.

    Recurrent layers and sliding windows cannot be rewound.
    """
    return shape is None or not (
        shape.window or any(block.state for block in shape.blocks)
    )


def draft_conflicts(model: ModelFacts, draft: str) -> Iterator[tuple[str, str]]:
    """Yield each setting that makes a model's drafts impossible, and why.

    ``draft`` is the setting in force. Reads the headers of both models.
    """
    other = model.draft_model
    if other is None:
        if draft == "model":
            yield "draft", "Choose a draft model."
        return
    if draft == "model" and not can_rewind(model.shape):
        yield (
            "draft",
            "This model has recurrent layers or a sliding window, so it cannot "
            "remove rejected draft tokens from its memory.",
        )
    if reason := _misfit(model, other):
        yield "draft_model", reason


def _misfit(model: ModelFacts, draft: ModelFacts) -> str:
    if draft.path == model.path:
        return "A model cannot be its own draft model."
    if draft.kind not in GENERATIVE:
        return "It does not generate text."
    if not can_rewind(draft.shape):
        return (
            "It has recurrent layers or a sliding window, so it cannot remove "
            "rejected draft tokens from its memory."
        )
    if _weight(draft) >= _weight(model):
        return "It is not smaller than this model, so drafts would cost too much."
    try:
        difference = vocabulary_difference(model.paths[0], draft.paths[0])
    except (InvalidGGUF, OSError) as error:
        return f"Its vocabulary cannot be read: {error}."
    return f"Its vocabulary is different: {difference}." if difference else ""


def _weight(model: ModelFacts) -> tuple[int, int]:
    """Return a sort key of its cost: parameters, then bytes."""
    return model.parameter_count or 0, model.file_size


def vocabulary_difference(model: Path, draft: Path) -> str:
    """Return how the vocabularies of two files differ, "" if they are the same.

    Ignores padding. Raises InvalidGGUF and OSError.
    """
    here, there = (header.fields for header in read_headers([model, draft]))
    kinds = [fields.get("tokenizer.ggml.model") for fields in (here, there)]
    if kinds[0] != kinds[1]:
        return f"a tokenizer of the kind {str(kinds[1])[:32]!r}"
    sizes = [_count(fields.get(_TOKENS)) for fields in (here, there)]
    if not all(sizes) or abs(sizes[0] - sizes[1]) > _MAX_SIZE_DIFFERENCE:
        return f"{sizes[1]} tokens, not {sizes[0]}"
    ours, theirs = _encoded(model, here[_TOKENS]), _encoded(draft, there[_TOKENS])
    size = min(len(ours), len(theirs))
    return "" if ours[:size] == theirs[:size] else "other tokens"


def _count(tokens: Value | None) -> int:
    if isinstance(tokens, SkippedValue):
        return tokens.count
    return len(tokens) if isinstance(tokens, tuple) else 0


def _encoded(path: Path, tokens: Value) -> bytes:
    """Return the vocabulary as bytes: the length of each token, then the token."""
    if isinstance(tokens, SkippedValue) and tokens.offsets:
        with path.open("rb") as stream:
            stream.seek(tokens.offsets[0])
            return stream.read(tokens.end - tokens.offsets[0])
    texts = tokens if isinstance(tokens, tuple) else ()
    return b"".join(
        len(text).to_bytes(8, "little") + text
        for text in (str(each).encode() for each in texts)
    )
