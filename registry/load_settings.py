"""The load settings of models, declared once. Knows no Django.

The configuration's sections, a model's columns and its form take the names, types,
bounds and defaults from the two sections below.
"""

from __future__ import annotations

import math
import re
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Protocol,
    get_args,
    get_origin,
)

from pydantic import BeforeValidator, ConfigDict, Field

from llm_manager.lib.config_sections import AnyCase, Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.gguf.memory_shape import MemoryShape

#: Types that llama.cpp stores K and V in.
CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]
QUANTIZED_CACHE_TYPES = frozenset({"q8_0", "q5_1", "q5_0", "q4_1", "q4_0"})
#: Elements of one block of these types.
_BLOCK_ELEMENTS = 32
#: llama_max_devices() of every build.
MAX_DEVICES = 16

#: A node's label: a word, or a name with a value.
_LABEL = re.compile(r"[A-Za-z0-9][\w./-]*(=[\w./-]+)?", re.ASCII)

BatchSize = Annotated[int, Field(ge=32, le=8192)]
ThreadCount = Annotated[int, Field(ge=0, le=512)]


def parse_split(shares: str) -> tuple[float, ...]:
    """Return the shares of the GPUs, written ``3,1``. Raises ValueError."""
    try:
        split = tuple(float(share) for share in shares.split(",") if share.strip())
    except ValueError:
        raise ValueError("The shares of the GPUs must be numbers, as in 3,1.") from None
    if not all(math.isfinite(share) and share >= 0 for share in split):
        raise ValueError("A GPU's share must be 0 or more.")
    if split and not any(split):
        raise ValueError("At least one GPU must have a share above 0.")
    if len(split) > MAX_DEVICES:
        raise ValueError(f"llama.cpp splits a model over at most {MAX_DEVICES} GPUs.")
    return split


def labels_in(text: str) -> frozenset[str]:
    """Return the labels that a text names, between commas. Raises ValueError."""
    labels = frozenset(each.strip() for each in text.split(",") if each.strip())
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise ValueError(
                f"{label!r} is no label: they are written as gpu or zone=a, of "
                "letters, digits and . _ / -."
            )
    return labels


def _as_labels(value: Any) -> Any:
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return ", ".join(sorted(labels_in(value))) if isinstance(value, str) else value


NodeLabels = Annotated[str, BeforeValidator(_as_labels)]


def _as_shares(value: Any) -> Any:
    if isinstance(value, list):
        value = ",".join(str(share) for share in value)
    return parse_split(value) if isinstance(value, str) else value


#: A name or an IPv4 address, and a port.
_ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?:(\d{1,5})")


def parse_servers(servers: str) -> tuple[str, ...]:
    """Return the addresses of RPC servers, written ``10.0.0.2:50052, b:50052``.

    Raises ValueError.
    """
    found = tuple(each.strip() for each in servers.split(",") if each.strip())
    for each in found:
        match = _ADDRESS.fullmatch(each)
        if match is None or not 0 < int(match[1]) < 65_536:
            raise ValueError(
                f"An RPC server is a host and a port, as in 10.0.0.2:50052, not {each}."
            )
    if len(set(found)) < len(found):
        raise ValueError("An RPC server may be named once only.")
    if len(found) >= MAX_DEVICES:
        raise ValueError(f"A model uses at most {MAX_DEVICES - 1} RPC servers.")
    return found


def _as_servers(value: Any) -> Any:
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        value = ",".join(value)
    return parse_servers(value) if isinstance(value, str) else value


#: Addresses of RPC servers: a list, or text with commas.
RpcServers = Annotated[tuple[str, ...], BeforeValidator(_as_servers)]


class GpuSection(Section):
    """The section `gpu`: where a model's layers and its KV cache go."""

    n_gpu_layers: int = Field(
        default=-1,
        ge=-1,
        description="Layers put on GPUs and RPC servers; -1 is all, 0 is none.",
    )
    split_mode: Annotated[Literal["none", "layer", "row"], AnyCase] = Field(
        default="layer",
        description="How a model is spread over several GPUs: not at all, by layers "
        "or by rows.",
    )
    tensor_split: Annotated[tuple[float, ...], BeforeValidator(_as_shares)] = Field(
        default=(),
        description="Each GPU's share of a model, as in 3,1; those of RPC servers "
        "come first. Empty: by free memory.",
    )
    main_gpu: int = Field(
        default=0,
        ge=0,
        le=MAX_DEVICES - 1,
        description="The GPU that the split mode none uses; the first is 0.",
    )
    rpc_servers: RpcServers = Field(
        default=(),
        description="RPC servers whose memory and processors hold a part of the model, "
        "as in 10.0.0.2:50052, 10.0.0.3:50052; each is one of `rpc.servers` and serves "
        "one model at a time.",
    )
    cache_type_k: Annotated[CacheType, AnyCase] = Field(
        default="f16",
        validation_alias="kv_cache_type",
        description="Type of the KV cache.",
    )
    cache_type_v: Annotated[Literal["auto", CacheType], AnyCase] = Field(
        default="auto",
        validation_alias="kv_cache_type_v",
        description="Type of the cache's V; a quantised one needs flash attention. "
        "auto is K's type, or f16 if that is quantised and flash attention is off.",
    )
    flash_attention: Annotated[Literal["auto", "on", "off"], AnyCase] = Field(
        default="auto", description="Flash attention."
    )


class ModelEngineSection(Section):
    """Those keys of the section `engine` that a model may have its own values for."""

    kv_layout: Annotated[Literal["auto", "split", "unified"], AnyCase] = Field(
        default="auto",
        description="split gives every sequence its own KV cells, which is faster; "
        "unified shares them, so a long sequence may use what the others leave. auto "
        "splits if that leaves enough sequences.",
    )
    swa_full: bool = Field(
        default=False,
        description="Keep the whole context of layers with a sliding window: cached "
        "prefixes can be used from any position, for more memory.",
    )
    n_seq_max: int = Field(
        default=32, ge=1, le=256, description="Sequences of one model that run at once."
    )
    n_batch: BatchSize = Field(
        default=512, description="Most tokens decoded in one step."
    )
    n_ubatch: BatchSize = Field(
        default=512, description="Most tokens computed at once; more take more memory."
    )
    itl_target_ms: int = Field(
        default=60,
        ge=0,
        le=10_000,
        description="Milliseconds between a stream's tokens that are kept at p95 while "
        "prompts are computed beside it; more make prompts and the whole faster. 0: no "
        "more than 2.5 times as long as without prompts.",
    )
    n_threads: ThreadCount = Field(
        default=0, description="Threads of one worker; 0 is one per physical core."
    )
    n_threads_batch: ThreadCount = Field(
        default=0,
        description="Threads that compute prompts; 0 is as many as n_threads.",
    )
    numa: Annotated[
        Literal["disabled", "distribute", "isolate", "numactl", "mirror"], AnyCase
    ] = Field(
        default="disabled",
        description="How threads are spread over the memory nodes of a large machine.",
    )
    use_mmap: bool = Field(
        default=True,
        validation_alias="mmap",
        description="Map model files: replicas share their memory, and loading is "
        "faster.",
    )
    use_mlock: bool = Field(
        default=False,
        validation_alias="mlock",
        description="Lock models in memory, so that they are never swapped out; the "
        "user needs the right to (ulimit -l).",
    )
    replicas: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Workers of one model that share its queue, if memory allows.",
    )
    replicas_max: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Most workers of one model: while requests wait for longer than "
        "engine.scale_up_wait one more is loaded, and released when it has had nothing "
        "to do. 0: always as many as replicas.",
    )
    placement: Annotated[Literal["spread", "pack"], AnyCase] = Field(
        default="spread",
        description="Where workers are loaded, of several machines with room: spread "
        "is where the model has the fewest workers, then where most is free; pack is "
        "where the least is free, so that machines stay empty.",
    )
    node_labels: NodeLabels = Field(
        default="",
        description="Labels that a machine must have to load a model, as in "
        "`gpu, zone=a`. A machine has those of engine.labels, and `gpu` or `cpu`.",
    )
    keep_alive: int = Field(
        default=0,
        ge=0,
        description="Seconds after its last request that an idle model is unloaded; "
        "0 is never.",
    )
    is_pinned: bool = Field(
        default=False,
        validation_alias="pinned",
        description="Never unload a model to make room or after its keep_alive.",
    )
    is_preloaded: bool = Field(
        default=False,
        validation_alias="preload",
        description="Load models when an engine starts.",
    )
    shares_prefixes: bool = Field(
        default=False,
        description="Share cached prefixes between the owners of API keys: faster, but "
        "a client that measures response times can find out what others have asked.",
    )
    #: llama.cpp's "none" would give one vector for each token: no endpoint has that.
    pooling_type: Annotated[Literal["auto", "mean", "cls", "last", "rank"], AnyCase] = (
        Field(
            default="auto",
            validation_alias="pooling",
            description="How an embedding model combines the vectors of a text's "
            "tokens; auto is what the model's file says.",
        )
    )
    deterministic: bool = Field(
        default=False,
        description="On a processor the same request gives the same answer, whatever "
        "runs beside it and whatever is cached: no drafts, no reuse of prefixes, no "
        "flash attention, prompts one at a time in pieces of one size. Slower.",
    )
    draft: Annotated[Literal["auto", "off", "lookup", "model"], AnyCase] = Field(
        default="auto",
        description="Speculative decoding: tokens are guessed, then verified. lookup "
        "guesses that an answer repeats earlier text; auto does so while at most two "
        "answers are written; model lets the draft model guess.",
    )


class LoadSettings(GpuSection, ModelEngineSection):
    """Every setting in force for a model.

    ``n_seq_max`` is a maximum unless the model has its own value. An empty
    ``tensor_split`` means shares by free memory.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=False)

    @property
    def flash_in_force(self) -> str:
        """Whether there is flash attention: ``auto``, ``on`` or ``off``.

        llama.cpp's adds the parts of a sum in an order that depends on the longest
        sequence of a step.
        """
        return "off" if self.deterministic else self.flash_attention

    @property
    def type_v(self) -> str:
        """V's type; `auto` is K's type where that is possible."""
        if self.cache_type_v != "auto":
            return self.cache_type_v
        is_quantized = self.cache_type_k in QUANTIZED_CACHE_TYPES
        return (
            "f16"
            if is_quantized and self.flash_in_force == "off"
            else self.cache_type_k
        )


#: The section of the configuration that holds each setting's default.
_SECTIONS = {
    **dict.fromkeys(GpuSection.model_fields, "gpu"),
    **dict.fromkeys(ModelEngineSection.model_fields, "engine"),
}
SETTINGS = tuple(_SECTIONS)
#: Those that hold as soon as they are saved; a loaded model keeps its others.
LIVE_SETTINGS = frozenset(
    {
        *("replicas", "keep_alive", "is_pinned", "is_preloaded"),
        *("replicas_max", "placement", "node_labels"),
    }
)


class Configuration(Protocol):
    """The part of the configuration that is read here."""

    @property
    def gpu(self) -> GpuSection: ...

    @property
    def engine(self) -> ModelEngineSection: ...


def listed(item: float | str) -> str:
    """Return an item of a setting that is a list, as text."""
    return item if isinstance(item, str) else f"{item:g}"


def config_key(setting: str) -> str:
    """Return the configuration key of a setting: ``engine.pinned`` of ``is_pinned``."""
    alias = LoadSettings.model_fields[setting].validation_alias
    return f"{_SECTIONS[setting]}.{alias or setting}"


def choices_of(setting: str) -> tuple[str, ...]:
    """Return the values that a setting can have; empty if they are not listed."""
    annotation = LoadSettings.model_fields[setting].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def bounds_of(setting: str) -> tuple[int | None, int | None]:
    """Return a setting's least and largest value."""
    least = largest = None
    for bound in LoadSettings.model_fields[setting].metadata:
        least = getattr(bound, "ge", least)
        largest = getattr(bound, "le", largest)
    return least, largest


def default_of(setting: str, config: Configuration) -> Any:
    """Return the configuration's value of a setting."""
    return getattr(getattr(config, _SECTIONS[setting]), setting)


def setting_in_force(setting: str, config: Configuration, model: object = None) -> Any:
    """Return a model's own setting, the configuration's if it is empty."""
    own = getattr(model, setting, None)
    return default_of(setting, config) if own is None or own == "" else own


def settings_in_force(config: Configuration, model: object = None) -> LoadSettings:
    """Return the settings of a model, or of one that leaves every setting empty.

    Raises ValueError if the model's ``tensor_split`` or ``rpc_servers`` cannot be read.
    """
    values = {name: setting_in_force(name, config, model) for name in SETTINGS}
    values["tensor_split"] = _as_shares(values["tensor_split"])
    values["rpc_servers"] = _as_servers(values["rpc_servers"])
    # Not validated again: the columns have validators with the same bounds.
    return LoadSettings.model_construct(**values)


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
