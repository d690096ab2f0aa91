"""Every load setting: its name, type, bounds and default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from llm_manager.lib.config_sections import AnyCase, Section
from registry.load_settings.values import (
    MAX_DEVICES,
    GpuShares,
    NodeLabels,
    RpcServers,
)

#: Types that llama.cpp stores K and V in.
CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]
QUANTIZED_CACHE_TYPES = frozenset({"q8_0", "q5_1", "q5_0", "q4_1", "q4_0"})

BatchSize = Annotated[int, Field(ge=32, le=8192)]
ThreadCount = Annotated[int, Field(ge=0, le=512)]


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
    tensor_split: GpuShares = Field(
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
