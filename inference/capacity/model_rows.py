"""What capacity needs to know of a model, read from its facts and the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.capacity.context import ContextSpec
from inference.capacity.kv_cache_size import KvCacheShape, cache_elements, kv_bytes
from inference.capacity.load_plan import DraftModel, LoadSpec, ProjectorFile
from inference.engine.config.adapters import AdapterFile
from inference.engine.config.engine_config import EngineConfig
from llm_manager.config import in_force
from registry.gguf.memory_shape import Block, MemoryShape, Weights, Widths
from registry.load_settings import conflicts
from registry.model_facts import projector_in_force

if TYPE_CHECKING:
    from registry.model_facts import ModelFacts

_MIB = 1024 * 1024
#: Share of the machine's memory for models if engine.memory_mb is 0. A choice.
_MEMORY_SHARE = 0.85
#: The engine's task for each kind of model that does not generate text.
_TASKS: dict[str, str] = {"embedding": "embed", "reranker": "rank"}


def memory_limit(memory_total: int) -> int:
    """Return the bytes that models may take of a host's memory."""
    limit = in_force.config().engine.memory_mb * _MIB
    return limit or int(memory_total * _MEMORY_SHARE)


class InvalidSettings(Exception):
    """Settings of a model that exclude each other; the message names them."""


def load_spec(model: ModelFacts, hardware: dict[str, Any] | None = None) -> LoadSpec:
    """Return how a model is to be loaded, by its row and the configuration.

    ``hardware`` is that of the machine, on which its context may have been tested.
    Raises InvalidSettings.
    """
    config = in_force.config()
    try:
        settings = model.settings_in_force()
        found = list(conflicts(settings, model.shape))
    except ValueError as error:
        raise InvalidSettings(str(error)) from None
    if found:
        raise InvalidSettings(" ".join(reason for _, reason in found))
    for server in settings.rpc_servers:
        if server not in config.rpc.servers:
            raise InvalidSettings(f"The RPC server {server} is none of rpc.servers.")
    return LoadSpec(
        paths=tuple(str(path) for path in model.paths),
        shape=shape_of(model),
        n_vocab=model.vocab_size or 0,
        settings=settings,
        context=context_spec(model, hardware),
        kv_budget=config.engine.kv_memory_mb * _MIB,
        task=_TASKS.get(model.kind, "generate"),
        pooling=model.pooling_in_force,
        adapters=adapter_files(model),
        draft=_draft_model(model) if settings.draft == "model" else None,
        projector=_projector(model),
        cache_dir=str(config.cache_dir) if config.cache.enabled else "",
        cache_bytes=config.cache.max_size_mb * _MIB,
        fingerprint=model.fingerprint,
    )


def _draft_model(model: ModelFacts) -> DraftModel:
    """Return a model's draft model. Raises InvalidSettings."""
    other = model.draft_model
    if other is None:
        raise InvalidSettings(
            "Its drafts come from a draft model, but none is chosen, or it was deleted."
        )
    if not other.is_found:
        raise InvalidSettings(f"The file of its draft model {other.name} is missing.")
    return DraftModel(
        paths=tuple(str(path) for path in other.paths),
        shape=shape_of(other),
        n_vocab=other.vocab_size or 0,
    )


def _projector(model: ModelFacts) -> ProjectorFile | None:
    """Return a model's projector, if it has one and reads it.

    Raises InvalidSettings if its file is missing.
    """
    found = projector_in_force(model)
    if found is None:
        return None
    if not found.is_found:
        raise InvalidSettings(
            f"The file of its projector {found.name} is missing. Without, disable the "
            "projector."
        )
    return ProjectorFile(path=found.path, size=found.file_size)


def adapter_files(model: ModelFacts) -> tuple[AdapterFile, ...]:
    """Return the LoRA adapters that a model is loaded with."""
    return tuple(
        AdapterFile(
            name=adapter.name,
            path=adapter.path,
            fingerprint=adapter.fingerprint,
            size=adapter.file_size,
        )
        for adapter in model.adapters()
    )


def context_spec(
    model: ModelFacts, hardware: dict[str, Any] | None = None
) -> ContextSpec:
    """Return what decides the length of a model's context.

    The test of its context is that of this ``hardware``, or the newest one of any.
    """
    result = model.tested_context(hardware)
    return ContextSpec(
        default_ctx=in_force.config().models.default_ctx,
        most_sequences=model.setting_in_force("n_seq_max"),
        # The order of a unified cache's cells depends on other requests.
        layout="split"
        if model.setting_in_force("deterministic")
        else model.setting_in_force("kv_layout"),
        n_ctx=model.n_ctx,
        n_seq_max=model.n_seq_max,
        trained=model.context_length,
        tested=result.most_ctx if result else None,
        seen=model.n_ctx_seen,
        recommended=result.recommended_for(model.n_seq_max) if result else None,
    )


def shape_of(model: ModelFacts) -> MemoryShape:
    """Return what decides a model's memory.

    A file whose header does not describe its layers counts as a single layer.
    """
    shape = model.shape
    if shape is not None:
        return shape
    elements = model.kv_elements_per_token or 0
    half = elements // 2
    return MemoryShape(
        input=Weights(),
        output=Weights(),
        blocks=(Block(Weights(rest=model.file_size), k=elements - half, v=half),),
        widths=Widths(
            embedding=model.embedding_length or 0,
            feed_forward=4 * (model.embedding_length or 0),
            is_gated=True,
            heads=model.head_count or 0,
            query=model.embedding_length or 0,
        ),
    )


def kv_cache_bytes(
    model: ModelFacts, *, n_cells: int, n_seq_max: int, kv_layout: str
) -> int:
    """Return the bytes of a model's KV cache with ``n_cells``."""
    streams = 1 if kv_layout == "unified" else max(n_seq_max, 1)
    shape = shape_of(model)
    types = EngineConfig(
        paths=(),
        n_ctx=1,
        n_seq_max=1,
        cache_type_k=model.setting_in_force("cache_type_k"),
        cache_type_v=model.settings_in_force().type_v,
        swa_full=model.setting_in_force("swa_full"),
        n_ubatch=model.setting_in_force("n_ubatch"),
    )
    cache = KvCacheShape(n_cells, streams, n_seq_max)
    return kv_bytes(cache_elements(shape.blocks), types, cache, shape.window)
