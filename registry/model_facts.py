"""What serving a request needs to know of a model, whether or not it is a row.

A row of the registry is one kind of model; a file that a program loads without a
database is another. Knows no Django.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from registry.gguf.memory_shape import MemoryShape
    from registry.load_settings import LoadSettings

#: Key of the metadata: an optional chat template for conversations with tools.
TOOL_TEMPLATE = "tokenizer.chat_template.tool_use"
#: The kinds that write text.
GENERATIVE = ("chat", "completion")
#: The possible poolings of a kind.
POOLINGS: Mapping[str, tuple[str, ...]] = {
    "embedding": ("mean", "cls", "last"),
    "reranker": ("rank",),
}
#: Keys of a projector's header: what it reads, and whether it is for speaking. Source:
#: load_hparams in llama.cpp's clip.cpp.
_READS_IMAGES = "clip.has_vision_encoder"
_READS_SOUNDS = "clip.has_audio_encoder"
_SPEAKS = "clip.has_gen_audio_encoder"
_KIND_OF_IMAGES = "clip.vision.projector_type"
_KINDS_OF_SOUNDS = ("clip.projector_type", "clip.audio.projector_type")
#: llama.cpp does not load what these projectors have for sounds.
_DEAF = ("gemma3nv",)
#: How many frames such a projector makes one token of, and the frames of a piece of
#: sound. Source: whisper-enc.cpp and mtmd-audio.cpp of llama.cpp.
_STACKED = "clip.audio.projector.stack_factor"
_FRAMES = 3000
#: Samples a second of the sounds that projectors read.
_SOUND_RATE = 16_000
_SOUND_RATES = {"mimo_audio": 24_000}


class TestedContext(Protocol):
    """What a context test has found, in tokens."""

    @property
    def tested_ctx(self) -> int | None:
        """The largest context that passed."""

    @property
    def most_ctx(self) -> int | None:
        """The largest context that a load may have; None if no larger one failed."""

    def recommended_for(self, n_sequences: int | None) -> int | None:
        """Return the context that is recommended for so many sequences."""


class ModelFacts(Protocol):
    """A model. Sizes are in bytes, lengths in tokens; None and "" are not known."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def paths(self) -> list[Path]: ...
    @property
    def file_size(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def is_found(self) -> bool: ...
    @property
    def is_enabled(self) -> bool: ...
    @property
    def architecture(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def shape(self) -> MemoryShape | None: ...
    @property
    def parameter_count(self) -> int | None: ...
    @property
    def vocab_size(self) -> int | None: ...
    @property
    def context_length(self) -> int | None: ...
    @property
    def embedding_length(self) -> int | None: ...
    @property
    def head_count(self) -> int | None: ...
    @property
    def kv_elements_per_token(self) -> int | None: ...
    @property
    def supports_infill(self) -> bool: ...
    @property
    def n_ctx_seen(self) -> int | None: ...
    @property
    def n_ctx(self) -> int | None: ...
    @property
    def n_seq_max(self) -> int | None: ...
    @property
    def max_tokens(self) -> int | None: ...
    @property
    def output_parser_override(self) -> str: ...
    @property
    def pooling_type(self) -> str: ...
    @property
    def pooling_in_force(self) -> str: ...
    @property
    def draft_model(self) -> ModelFacts | None: ...
    @property
    def projector(self) -> ModelFacts | None: ...

    def template_in_force(self, *, is_for_tools: bool = False) -> str: ...
    def setting_in_force(self, name: str) -> Any: ...
    def settings_in_force(self) -> LoadSettings: ...
    def tested_context(
        self, hardware: dict[str, Any] | None = None
    ) -> TestedContext | None: ...
    def adapters(self) -> Sequence[ModelFacts]: ...


def template_for(
    override: str,
    template: str,
    metadata: Mapping[str, Any],
    *,
    is_for_tools: bool,
) -> str:
    """Return the chat template: the override, else the file's, else "".

    Some files have a separate template for conversations with tools.
    """
    if override:
        return override
    for_tools = metadata.get(TOOL_TEMPLATE) if is_for_tools else None
    return for_tools if isinstance(for_tools, str) and for_tools else template


def pooling_for(kind: str, chosen: str) -> str:
    """Return the pooling that a setting chooses, or "" if the file decides."""
    return chosen if chosen in POOLINGS.get(kind, ()) else ""


def projector_in_force(model: ModelFacts) -> ModelFacts | None:
    """Return the projector that a model is loaded with.

    It reads images or sounds, and is not disabled.
    """
    projector = model.projector
    if projector is None or model.kind not in GENERATIVE or not projector.is_enabled:
        return None
    reads = _has_images(projector) or _has_sounds(projector)
    return projector if reads else None


def _has_images(projector: ModelFacts) -> bool:
    return projector.metadata.get(_READS_IMAGES) is True


def _has_sounds(projector: ModelFacts) -> bool:
    header = projector.metadata
    return (
        header.get(_READS_SOUNDS) is True
        and header.get(_SPEAKS) is not True
        and header.get(_KIND_OF_IMAGES) not in _DEAF
        and _is_counted_right(header.get(_STACKED, 1))
    )


def _is_counted_right(stacked: object) -> bool:
    """Whether llama.cpp expects as many tokens as it makes of stacked frames.

    Else it ends the process: it halves the number of stacked frames (clip.cpp,
    clip_n_output_tokens), but stacks what the encoder has halved.
    """
    if type(stacked) is not int or stacked < 1:
        return False
    halved = -(-_FRAMES // stacked) // 2
    return halved == -(-(_FRAMES // 2) // stacked)


def reads_images(model: ModelFacts) -> bool:
    """Return whether a model sees."""
    projector = projector_in_force(model)
    return projector is not None and projector.is_found and _has_images(projector)


def hears(model: ModelFacts) -> bool:
    """Return whether a model reads sounds."""
    projector = projector_in_force(model)
    return projector is not None and projector.is_found and _has_sounds(projector)


def sound_rate(model: ModelFacts) -> int:
    """Return how many samples a second a model reads of a sound."""
    projector = projector_in_force(model)
    header = projector.metadata if projector is not None else {}
    kinds = (header.get(key) for key in _KINDS_OF_SOUNDS)
    return next(
        (_SOUND_RATES[kind] for kind in kinds if kind in _SOUND_RATES), _SOUND_RATE
    )


def attached_name(model: str, adapter: str) -> str:
    """Return the name that requests use for a model with an adapter."""
    return f"{model}:{adapter}"


def context_misfit(n_ctx: int | None, trained: int | None) -> str:
    """Return why a model cannot have this context, as a sentence; "" if it can."""
    if n_ctx and trained and n_ctx > trained:
        return (
            f"The model was trained on {trained} tokens; with a longer context its "
            "answers are useless."
        )
    return ""


def pooling_misfit(kind: str, pooling: str) -> str:
    """Return why a kind of model cannot have a pooling, as a sentence; "" if it can."""
    if pooling in ("", "auto", *POOLINGS.get(kind, ())):
        return ""
    return f"A {kind.replace('_', ' ')} model cannot have the pooling {pooling}."
