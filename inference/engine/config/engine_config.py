"""How one model is loaded."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inference.engine.config.adapters import AdapterFile

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Logits that a step has room for beyond one of each sequence: for the prompt's
#: log-probabilities and for drafts. Each takes a float for each token of the
#: vocabulary.
_OUTPUTS = 64

#: Sequences that look drafts up with ``draft`` ``auto``.
_AUTO_LOOKUP = 2

#: What a model is loaded for: to write text, to make vectors, to rank texts.
TASKS = ("generate", "embed", "rank")
#: How a text's vector is made of its tokens'; "" is the pooling in the model's file.
POOLINGS = ("", "mean", "cls", "last", "rank")
#: The number of rows whose flash attention ggml-cpu computes at once (GGML_FA_TILE_Q);
#: fewer rows are computed one by one: at a depth of 1,400 tokens 64 take hardly longer
#: than 48.
CPU_TILE = 64
#: With fewer sequences a context for prompts takes too much memory beside theirs.
PREFILL_CONTEXT_SEQUENCES = 4
#: A shorter rest of a prompt, such as the next turn of a conversation, stays where it
#: is: to move its cells to that context and back takes longer than that saves.
PREFILL_CONTEXT_REST = 128


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What a worker needs to know to load a model.

    ``paths`` are all shards in order. ``n_ctx`` counts tokens of one sequence at
    load; one that needs more makes the context grow up to ``n_ctx_max`` (0 is
    ``n_ctx``), as long as all sequences together have at most ``n_cells_max``
    cells (0 is ``n_ctx * n_seq_max``). ``kv_layout`` ``split`` gives each of
    ``n_seq_max`` sequences its own cells, ``unified`` shares ``n_cells`` between
    them (0 is ``n_ctx * n_seq_max``). ``swa_full`` keeps what has left a sliding
    window. ``prefill_context`` lets short pieces of prompts have a context of their
    own; ``itl_target_ms`` is the inter-token latency that streams keep at p95
    beside them, 0 for none. ``n_gpu_layers`` -1 is all; an empty ``tensor_split``
    is by the GPUs' free memory. ``rpc_servers`` are the addresses of those that hold
    layers, ``rpc_sockets`` where a relay listens for each. ``n_threads`` 0 is one
    per physical core, ``n_threads_batch`` 0 as many. ``shares_prefixes`` lets
    owners use each other's cached prefixes. With ``draft`` ``lookup`` drafts are
    looked up in the sequence itself, with ``auto`` only while few sequences decode;
    with ``model`` the model in ``draft_paths`` makes them. ``deterministic`` computes a
    sequence in steps whose shape depends on nothing else. ``adapters`` are loaded
    beside the model, and so is the ``projector``, a file with what reads images for
    it; "" is none. Prefixes are stored in ``cache_dir``, unless it is empty, in at
    most ``cache_bytes`` for all models; ``fingerprint`` identifies the model's file.
    ``task`` is what the model is for; ``pooling`` makes vectors. Raises ValueError
    for settings that exclude each other.
    """

    paths: tuple[str, ...]
    n_ctx: int
    n_seq_max: int
    n_ctx_max: int = 0
    kv_layout: str = "split"
    n_cells: int = 0
    n_cells_max: int = 0
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attention: str = "auto"
    prefill_context: bool = True
    swa_full: bool = False
    n_batch: int = 512
    n_ubatch: int = 512
    itl_target_ms: int = 0
    n_threads: int = 0
    n_threads_batch: int = 0
    numa: str = "disabled"
    use_mmap: bool = True
    use_mlock: bool = False
    n_gpu_layers: int = -1
    split_mode: str = "layer"
    tensor_split: tuple[float, ...] = ()
    main_gpu: int = 0
    rpc_servers: tuple[str, ...] = ()
    rpc_sockets: tuple[str, ...] = ()
    shares_prefixes: bool = False
    deterministic: bool = False
    draft: str = "off"
    draft_paths: tuple[str, ...] = ()
    adapters: tuple[AdapterFile, ...] = ()
    projector: str = ""
    cache_dir: str = ""
    cache_bytes: int = 0
    fingerprint: str = ""
    task: str = "generate"
    pooling: str = ""

    def __post_init__(self) -> None:
        if self.n_batch < self.n_seq_max:
            raise ValueError(
                f"n_batch {self.n_batch} is less than n_seq_max {self.n_seq_max}"
            )
        if self.deterministic and (self.kv_layout, self.draft) != ("split", "off"):
            raise ValueError("deterministic needs the layout split and no drafts")
        if self.kv_layout not in ("split", "unified"):
            raise ValueError(f"kv_layout {self.kv_layout} is neither split nor unified")
        if self.draft == "model" and not self.draft_paths:
            raise ValueError("draft model, but no draft_paths")
        if self.task not in TASKS:
            raise ValueError(f"task {self.task} is none of {', '.join(TASKS)}")
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling {self.pooling} is unknown")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EngineConfig:
        """Return the configuration that ``dataclasses.asdict`` wrote as JSON."""
        tuples = (
            "paths",
            "tensor_split",
            "draft_paths",
            "rpc_servers",
            "rpc_sockets",
        )
        adapters = tuple(AdapterFile(**each) for each in data["adapters"])
        values = {name: tuple(data[name]) for name in tuples} | {"adapters": adapters}
        return cls(**{**data, **values})

    @property
    def of_draft_model(self) -> EngineConfig | None:
        """How the draft model is loaded, if there is one: with a cache of its own."""
        if self.draft != "model":
            return None
        return replace(
            self,
            paths=self.draft_paths,
            draft="off",
            draft_paths=(),
            adapters=(),
            projector="",
            rpc_servers=(),
            rpc_sockets=(),
        )

    @property
    def max_lookup_sequences(self) -> int:
        """How many sequences may decode while drafts are looked up for them.

        Beside many others a draft seldom pays, and the look-up takes time.
        """
        return {"auto": _AUTO_LOOKUP, "lookup": self.n_seq_max}.get(self.draft, 0)

    @property
    def is_generative(self) -> bool:
        """Whether the model writes text."""
        return self.task == "generate"

    @property
    def may_prefill_apart(self) -> bool:
        """Whether a processor may compute pieces of prompts in a context of their own.

        ``llama/prefill_context.py`` says why. The model must allow it, too.
        """
        return (
            self.prefill_context
            and not self.deterministic
            and platform.machine() in ("x86_64", "AMD64")
            and self.is_generative
            and self.kv_layout == "split"
            and (self.cache_type_k, self.cache_type_v) == ("f16", "f16")
            and self.flash_attention != "off"
            and self.n_tokens_max > 2 * CPU_TILE
        )

    @property
    def of_prefill_context(self) -> EngineConfig:
        """How a context for pieces of prompts is made: without flash attention.

        A piece has less than a tile, so that the scores of its tokens against every
        cell, which are there without flash attention, take little memory.
        """
        return replace(self, flash_attention="off", n_ubatch=CPU_TILE)

    @property
    def n_tokens_max(self) -> int:
        """The most tokens that are computed at once.

        A text is pooled in one piece, even if it is longer than a batch.
        """
        if self.is_generative:
            return min(self.n_batch, self.n_ubatch)
        # llama.cpp reserves as many tokens for each sequence; it aborts if that
        # leaves a rest.
        most = max(self.n_batch, self.n_ctx)
        return -(-most // self.n_seq_max) * self.n_seq_max

    @property
    def n_outputs_max(self) -> int:
        """How many tokens of a step may have their logits read.

        Where vectors are made llama.cpp has room for the logits of all.
        """
        if not self.is_generative:
            return self.n_tokens_max
        return min(self.n_batch, max(self.n_seq_max, _OUTPUTS))
