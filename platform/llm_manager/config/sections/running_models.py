"""How models are found, loaded and run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from llm_manager.lib.config_sections import (
    AnyCase,
    Folder,
    FromList,
    Seconds,
    Section,
    Texts,
)
from llm_manager.lib.tunnel.addresses import host_and_port, why_not_private
from registry.load_settings import ModelEngineSection, NodeLabels, RpcServers


def _as_private(value: str) -> str:
    """Return an address to listen at. Raises ValueError unless it is private."""
    if not value:
        return value
    try:
        host, port = host_and_port(value)
    except ValueError:
        raise ValueError("must be like 10.0.0.3:8791") from None
    if not 0 < port < 65536:
        raise ValueError("must have a port from 1 to 65535")
    if reason := why_not_private(host):
        raise ValueError(reason)
    return value


class ModelsSection(Section):
    """The models directory and how models run."""

    dir: Folder | None = Field(
        default=None, description="Models directory. Unset: `models` in data_dir."
    )
    extra_dirs: Annotated[tuple[Folder, ...], FromList] = Field(
        default=(), description="More folders that a scan searches."
    )
    watch: bool = Field(
        default=True,
        description="Register a GGUF file that appears in these folders as soon as it "
        "is whole, and note when one is deleted. Engines watch, requests for an "
        "unknown model and the admin's pages look.",
    )
    default_ctx: int = Field(
        default=8192,
        ge=64,
        description="Context of one sequence, in tokens, that a model without its own "
        "is loaded with; never more than the trained context. It grows to that when a "
        "request needs it and memory allows.",
    )
    use_subprocess: bool = Field(
        default=True,
        description="Every model runs in a process of its own. false is for the "
        "Python API only: a server refuses it.",
    )


class DownloadsSection(Section):
    """Models from a hub or an address.

    The hub is ``HF_ENDPOINT``, or huggingface.co; its token is ``HF_TOKEN``.
    """

    hosts: Texts = Field(
        default=(),
        description="Hosts that models may come from, those of redirects too; "
        "`*.hf.co` is all below hf.co. Empty is any.",
    )
    private_addresses: bool = Field(
        default=False,
        description="Permit hosts in private networks and on this machine, and http: "
        "for a mirror of one's own. Without, such addresses are refused, also after a "
        "redirect.",
    )
    at_once: int = Field(
        default=2, ge=1, le=16, description="Downloads that run at once on one machine."
    )
    keep_free_mb: int = Field(
        default=1024,
        ge=0,
        description="Space that a download leaves free on its disk, in MiB.",
    )


class GenerationSection(Section):
    """Defaults for requests that leave a parameter out."""

    max_tokens: int = Field(
        default=4096,
        ge=1,
        description="Most tokens of an answer when a chat request sets no limit.",
    )
    temperature: float = Field(
        default=0.7, ge=0, le=2, description="Temperature when a request sets none."
    )
    top_p: float = Field(
        default=0.9, ge=0, le=1, description="top_p when a request sets none."
    )
    json_style: Annotated[Literal["fixed", "flexible"], AnyCase] = Field(
        default="fixed",
        description="White space in JSON that an answer has to match: fixed is "
        '`{"a": 1, "b": [2, 3]}`, flexible lets the model break lines and indent.',
    )


class EngineSection(ModelEngineSection):
    """The engine and its workers."""

    labels: NodeLabels = Field(
        default="",
        description="Labels of this machine, as in `zone=a, fast`, for models that "
        "need some (node_labels). It also has `gpu` if llama.cpp finds one, else "
        "`cpu`.",
    )
    max_models: int = Field(
        default=4, ge=1, le=256, description="Models loaded at once on one machine."
    )
    memory_mb: int = Field(
        default=0,
        ge=0,
        description="Memory that loaded models may use on one machine, in MiB; "
        "0 is 85 % of the machine's.",
    )
    kv_memory_mb: int = Field(
        default=2048,
        ge=16,
        description="KV cache of one worker, in MiB; it decides the context and the "
        "number of sequences.",
    )
    queue_size: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Requests that may wait for one model outside its workers, mostly "
        "while it is loaded.",
    )
    max_waiting: int = Field(
        default=1024,
        ge=1,
        le=100_000,
        description="Requests that may wait in one worker. Above that, the API key "
        "with the most waiting requests for its weight loses its last one.",
    )
    prefix_affinity: int = Field(
        default=8,
        ge=0,
        le=100_000,
        description="Of a model's replicas, a request goes to the one that has its "
        "prompt in the prefix cache, unless that has so many more requests than the "
        "least busy one; for a part of the prompt, that part of so many. 0: to any.",
    )
    scale_up_wait: Seconds = Field(
        default=5,
        description="Seconds that a request has to wait for its start before a model "
        "with replicas_max gets one replica more.",
    )
    scale_down_after: Seconds = Field(
        default=300,
        description="Seconds for which a replica has to be superfluous before it is "
        "released: nothing waits, and what runs takes half of the others' sequences.",
    )
    queue_timeout: Seconds = Field(
        default=300, description="Seconds that a request may wait to start."
    )
    load_timeout: Seconds = Field(
        default=600, description="Seconds that loading a model may take."
    )
    drain_timeout: int = Field(
        default=60,
        ge=0,
        le=86_400,
        description="Seconds that running requests have to finish before their model "
        "is unloaded.",
    )
    draft: Annotated[Literal["auto", "off", "lookup"], AnyCase] = Field(
        default="auto",
        description="Speculative decoding: lookup guesses that an answer repeats "
        "earlier text, as many tokens as are worth it at the current batch; auto does "
        "so while at most two answers are written. A draft model is chosen for each "
        "model, in the admin.",
    )


class RpcSection(Section):
    """Models over several machines, by `llm-manager rpc` on the others."""

    servers: RpcServers = Field(
        default=(),
        description="RPC servers that models may use, as `10.0.0.2:50052`. Engines ask "
        "each every few seconds how it is; no other address is connected to.",
    )
    secret: str = Field(
        default="",
        repr=False,
        description="What RPC servers and engines share, 32 characters or more: "
        "`openssl rand -hex 32`. Better in the environment than in a file.",
    )


class NodesSection(Section):
    """Model files of several machines, each with a models directory of its own."""

    pull_models: Annotated[Literal["off", "nodes", "hub", "both"], AnyCase] = Field(
        default="off",
        description="Where a machine may fetch the files of a model that it lacks: "
        "from other `nodes` that have `nodes.listen`, from the `hub` or address that "
        "they were downloaded from, or from `both`, nodes first. It does when an "
        "administrator asks, and for requests of models that no machine which has "
        "them can load.",
    )
    listen: Annotated[str, AfterValidator(_as_private)] = Field(
        default="",
        description="Where this machine sends its model files to the others, as "
        "`10.0.0.3:8791`: an address of a private network that they reach. TLS, and "
        "proofs of one `LLM_MANAGER_SECRET_KEY`. Unset: nowhere.",
    )
    pull_mb_per_s: int = Field(
        default=0,
        ge=0,
        description="MiB a second that all pulls of this machine together take, and "
        "that it sends to others at most; 0 is as fast as the network is.",
    )


class CacheSection(Section):
    """Cached prefixes on disk."""

    enabled: bool = Field(
        default=False,
        description="Keep the KV state of long prompts on disk: it need not be "
        "computed again after it was evicted from memory, or after a restart. The "
        "files contain prompts; only the server's user can read them.",
    )
    dir: Folder | None = Field(
        default=None, description="Folder of that cache. Unset: `cache` in data_dir."
    )
    max_size_mb: int = Field(
        default=5120,
        ge=16,
        description="Size of that cache, in MiB; the least recently used is deleted "
        "first.",
    )
