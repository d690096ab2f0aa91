"""How a model is loaded: its own settings over the configuration's. No Django here."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.gguf.memory_shape import MemoryShape

#: Types that llama.cpp stores K and V in.
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
#: V's may be left to the engine.
CACHE_TYPES_V = ("auto", *CACHE_TYPES)
QUANTIZED_CACHE_TYPES = frozenset({"q8_0", "q5_1", "q5_0", "q4_1", "q4_0"})
FLASH_ATTENTION = ("auto", "on", "off")
KV_LAYOUTS = ("auto", "split", "unified")
SPLIT_MODES = ("none", "layer", "row")
#: How the vector of a text is made of those of its tokens. "auto" is as the file says;
#: "none" would give one vector for each token, which no route answers with.
POOLINGS = ("auto", "mean", "cls", "last", "rank")
#: What guesses the tokens of an answer. A draft model is chosen for one model; the
#: configuration has none.
CONFIGURED_DRAFTS = ("auto", "off", "lookup")
DRAFTS = (*CONFIGURED_DRAFTS, "model")
NUMA_STRATEGIES = ("disabled", "distribute", "isolate", "numactl", "mirror")
#: Elements of one block of these types.
_BLOCK_ELEMENTS = 32
#: llama_max_devices() of every build.
MAX_DEVICES = 16

#: The configuration key behind each setting that a model may leave empty.
CONFIG_KEYS = {
    "cache_type_k": "gpu.kv_cache_type",
    "cache_type_v": "gpu.kv_cache_type_v",
    "flash_attention": "gpu.flash_attention",
    "kv_layout": "engine.kv_layout",
    "swa_full": "engine.swa_full",
    "n_seq_max": "engine.n_seq_max",
    "n_batch": "engine.n_batch",
    "n_ubatch": "engine.n_ubatch",
    "n_threads": "engine.n_threads",
    "n_threads_batch": "engine.n_threads_batch",
    "numa": "engine.numa",
    "use_mmap": "engine.mmap",
    "use_mlock": "engine.mlock",
    "n_gpu_layers": "gpu.n_gpu_layers",
    "split_mode": "gpu.split_mode",
    "tensor_split": "gpu.tensor_split",
    "main_gpu": "gpu.main_gpu",
    "replicas": "engine.replicas",
    "keep_alive": "engine.keep_alive",
    "is_pinned": "engine.pinned",
    "is_preloaded": "engine.preload",
    "shares_prefixes": "engine.shares_prefixes",
    "pooling_type": "engine.pooling",
    "draft": "engine.draft",
}


class Configuration(Protocol):
    """What knows the configuration's values."""

    def __getitem__(self, key: str, /) -> Any:
        """Return the value of a key."""


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Every setting in force. ``n_seq_max`` is a maximum unless a model names its own.

    ``tensor_split`` are the shares of the GPUs; empty is by their free memory.
    """

    cache_type_k: str
    cache_type_v: str
    flash_attention: str
    kv_layout: str
    swa_full: bool
    n_seq_max: int
    n_batch: int
    n_ubatch: int
    n_threads: int
    n_threads_batch: int
    numa: str
    use_mmap: bool
    use_mlock: bool
    n_gpu_layers: int
    split_mode: str
    tensor_split: tuple[float, ...]
    main_gpu: int
    replicas: int
    keep_alive: int
    is_pinned: bool
    is_preloaded: bool
    shares_prefixes: bool
    pooling_type: str
    draft: str

    @property
    def type_v(self) -> str:
        """V's type; if that is left to us, K's, where that can be had."""
        if self.cache_type_v != "auto":
            return self.cache_type_v
        is_quantized = self.cache_type_k in QUANTIZED_CACHE_TYPES
        return (
            "f16"
            if is_quantized and self.flash_attention == "off"
            else self.cache_type_k
        )


def _cannot_store(
    settings: LoadSettings, shape: MemoryShape
) -> Iterator[tuple[str, str]]:
    if shape.is_mla and settings.cache_type_k != settings.type_v:
        yield (
            "cache_type_v",
            f"This model keeps V in K, which is {settings.cache_type_k}; "
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
                f"{name} cannot be {kind}, which has blocks of {_BLOCK_ELEMENTS}: a "
                f"head of this model has {size} elements.",
            )


def default_of(setting: str, config: Configuration) -> Any:
    """Return what the configuration says of a setting."""
    return config[CONFIG_KEYS[setting]]


def setting_in_force(setting: str, config: Configuration, model: object = None) -> Any:
    """Return a model's own setting, the configuration's if it is empty."""
    own = getattr(model, setting, None)
    return default_of(setting, config) if own is None or own == "" else own


def settings_in_force(config: Configuration, model: object = None) -> LoadSettings:
    """Return the settings of a model, or of one that leaves every setting empty.

    Raises ValueError for shares of GPUs that are none.
    """
    values = {
        field.name: setting_in_force(field.name, config, model)
        for field in fields(LoadSettings)
    }
    values["tensor_split"] = parse_split(values["tensor_split"] or "")
    return LoadSettings(**values)


def parse_split(shares: str) -> tuple[float, ...]:
    """Return the shares of the GPUs, written ``3,1``. Raises ValueError."""
    try:
        split = tuple(float(share) for share in shares.split(",") if share.strip())
    except ValueError:
        raise ValueError("The shares of the GPUs are numbers, as in 3,1.") from None
    if not all(math.isfinite(share) and share >= 0 for share in split):
        raise ValueError("A GPU's share is 0 or more.")
    if split and not any(split):
        raise ValueError("At least one GPU needs a share above 0.")
    if len(split) > MAX_DEVICES:
        raise ValueError(f"llama.cpp splits a model over {MAX_DEVICES} GPUs at most.")
    return split


def conflicts(
    settings: LoadSettings, shape: MemoryShape | None = None
) -> Iterator[tuple[str, str]]:
    """Yield each setting that cannot be had beside another one, and why.

    ``shape`` is the model's, if it is known: some settings it cannot have at all.
    """
    if shape is not None:
        yield from _cannot_store(settings, shape)
    if settings.type_v in QUANTIZED_CACHE_TYPES and settings.flash_attention == "off":
        yield (
            "cache_type_v",
            f"V can be {settings.type_v} only with flash attention, which is off.",
        )
    if settings.n_ubatch > settings.n_batch:
        yield (
            "n_ubatch",
            f"A micro-batch of {settings.n_ubatch} tokens is larger than the batch of "
            f"{settings.n_batch} that it is a part of.",
        )
    if settings.n_seq_max > settings.n_batch:
        yield (
            "n_seq_max",
            f"A batch of {settings.n_batch} tokens has no room for a token of each of "
            f"{settings.n_seq_max} sequences.",
        )
    if settings.tensor_split and settings.split_mode == "none":
        yield (
            "tensor_split",
            "The split mode none puts the model on one GPU: there is nothing to share.",
        )
    if settings.main_gpu and settings.split_mode != "none":
        yield (
            "main_gpu",
            "The main GPU counts with the split mode none only; "
            f"it is {settings.split_mode}.",
        )
