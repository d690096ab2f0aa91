"""Load settings that conflict with one another or with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.load_settings.sections import QUANTIZED_CACHE_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.gguf.memory_shape import MemoryShape
    from registry.load_settings.sections import LoadSettings

#: Elements of one block of the quantised types.
_BLOCK_ELEMENTS = 32


def _cannot_store(
    settings: LoadSettings, shape: MemoryShape
) -> Iterator[tuple[str, str]]:
    if shape.is_mla and settings.cache_type_k != settings.type_v:
        yield (
            "cache_type_v",
            f"This model stores V in K, whose type is {settings.cache_type_k}; "
            f"V cannot be {settings.type_v}.",
        )
    heads = {
        "cache_type_k": ("K", settings.cache_type_k, shape.widths.head_k),
        "cache_type_v": ("V", settings.type_v, shape.widths.head_v),
    }
    for field, (name, kind, size) in heads.items():
        if kind in QUANTIZED_CACHE_TYPES and size % _BLOCK_ELEMENTS:
            yield (
                field,
                f"{name} cannot be {kind}: its blocks have {_BLOCK_ELEMENTS} elements, "
                f"and a head of this model has {size}, which is no multiple.",
            )


def _not_deterministic(settings: LoadSettings) -> Iterator[tuple[str, str]]:
    reasons = {
        ("kv_layout", "unified"): "the order of its cells depends on other requests",
        ("flash_attention", "on"): "its sums depend on other requests",
        ("draft", "lookup"): "drafts change the shape of a step",
        ("draft", "model"): "drafts change the shape of a step",
    }
    for (field, value), reason in reasons.items():
        if getattr(settings, field) == value:
            label = field.replace("_", " ")
            yield field, f"A deterministic model cannot have {label} {value}: {reason}."


def conflicts(
    settings: LoadSettings, shape: MemoryShape | None = None
) -> Iterator[tuple[str, str]]:
    """Yield each setting that conflicts with another one or with the model, and why.

    ``shape`` is the model's, if it is known.
    """
    if shape is not None:
        yield from _cannot_store(settings, shape)
    if settings.deterministic:
        yield from _not_deterministic(settings)
    if settings.type_v in QUANTIZED_CACHE_TYPES and settings.flash_in_force == "off":
        yield (
            "cache_type_v",
            f"V can be {settings.type_v} only with flash attention, which is off.",
        )
    if 0 < settings.replicas_max < settings.replicas:
        yield (
            "replicas_max",
            f"There cannot be at most {settings.replicas_max} replicas and at least "
            f"{settings.replicas}.",
        )
    if settings.n_ubatch > settings.n_batch:
        yield (
            "n_ubatch",
            f"A micro-batch of {settings.n_ubatch} tokens is larger than the batch of "
            f"{settings.n_batch}.",
        )
    if settings.n_seq_max > settings.n_batch:
        yield (
            "n_seq_max",
            f"A batch of {settings.n_batch} tokens is too small for one token of each "
            f"of {settings.n_seq_max} sequences.",
        )
    if settings.tensor_split and settings.split_mode == "none":
        yield (
            "tensor_split",
            "With the split mode none the model is on one GPU, so there are no shares.",
        )
    if settings.rpc_servers and settings.split_mode != "layer":
        yield (
            "rpc_servers",
            "A model is on RPC servers by layers; the split mode is "
            f"{settings.split_mode}.",
        )
    if settings.main_gpu and settings.split_mode != "none":
        yield (
            "main_gpu",
            "The main GPU is used only with the split mode none; "
            f"it is {settings.split_mode}.",
        )
