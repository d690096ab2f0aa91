"""How a model is to be loaded, and the memory that it then takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from inference.capacity.context import (
    ContextPlan,
    ContextWish,
    choose_context,
    choose_text_length,
)
from inference.capacity.memory_estimate import (
    Cache,
    Estimate,
    estimate,
    kept_by,
    kv_bytes,
    recurrent_bytes,
    unified_cache,
    with_adapters,
    with_draft_model,
)
from inference.engine.adapters import AdapterFile
from inference.engine.config import EngineConfig
from registry.gguf.memory_shape import Block, MemoryShape, Weights, Widths
from registry.load_settings import conflicts
from registry.models import FileState, Kind, Model

if TYPE_CHECKING:
    from inference.capacity.machine import Machine
    from registry.load_settings import LoadSettings

_MIB = 1024 * 1024
_FLOAT = 4
#: Halvings of a KV budget in search of the one that fits.
_STEPS = 16
#: What models of these kinds are loaded for.
_TASKS: dict[str, str] = {Kind.EMBEDDING: "embed", Kind.RERANKER: "rank"}
#: For the types of a cache alone, where its context is what is looked for.
_NO_CONTEXT = ContextPlan("split", 1, 1, 1, 1, 1)


class InvalidSettings(Exception):
    """Settings of a model that exclude each other; the message says which."""


@dataclass(frozen=True, slots=True)
class DraftModel:
    """The model that guesses for another one, in the same process."""

    paths: tuple[str, ...]
    shape: MemoryShape
    n_vocab: int


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A model and what is wanted of it. ``kv_budget`` is in bytes."""

    paths: tuple[str, ...]
    shape: MemoryShape
    n_vocab: int
    settings: LoadSettings
    wish: ContextWish
    kv_budget: int
    task: str = "generate"
    pooling: str = ""
    adapters: tuple[AdapterFile, ...] = ()
    draft: DraftModel | None = None
    cache_dir: str = ""
    cache_bytes: int = 0
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How a model is to be loaded, and the bytes that it will take by device."""

    engine: EngineConfig
    estimate: Estimate

    def fits(self, memory: tuple[int, ...], *, is_mapped: bool = False) -> bool:
        """Return whether it fits into free memory, the host's first.

        ``is_mapped`` says that another worker of the same file is there already.
        """
        return all(
            needed <= free
            for needed, free in zip(
                self.needs(is_mapped=is_mapped), memory, strict=True
            )
        )

    def needs(self, *, is_mapped: bool = False) -> tuple[int, ...]:
        """Return the bytes that it adds by device, the host first."""
        host, *gpus = self.estimate.totals
        return (host - (self.estimate.mapped if is_mapped else 0), *gpus)


def load_request(model: Model) -> LoadRequest:
    """Return what is wanted of a model, by its row and the configuration.

    Raises InvalidSettings.
    """
    config = settings.CONFIG
    try:
        in_force = model.settings_in_force()
        found = list(conflicts(in_force, model.shape))
    except ValueError as error:
        raise InvalidSettings(str(error)) from None
    if found:
        raise InvalidSettings(" ".join(reason for _, reason in found))
    return LoadRequest(
        paths=tuple(str(path) for path in model.paths),
        shape=shape_of(model),
        n_vocab=model.vocab_size or 0,
        settings=in_force,
        wish=context_wish(model),
        kv_budget=config.engine.kv_memory_mb * _MIB,
        task=_TASKS.get(model.kind, "generate"),
        pooling=model.pooling_in_force,
        adapters=adapter_files(model),
        draft=_draft_of(model) if in_force.draft == "model" else None,
        cache_dir=str(settings.CACHE_DIR) if config.cache.enabled else "",
        cache_bytes=config.cache.max_size_mb * _MIB,
        fingerprint=model.fingerprint,
    )


def _draft_of(model: Model) -> DraftModel:
    """Return a model's draft model. Raises InvalidSettings."""
    other = model.draft_model
    if other is None:
        raise InvalidSettings(
            "It is to be drafted for by a model, but none is chosen, or it was deleted."
        )
    if other.state != FileState.FOUND:
        raise InvalidSettings(f"The file of its draft model {other.name} is missing.")
    return DraftModel(
        paths=tuple(str(path) for path in other.paths),
        shape=shape_of(other),
        n_vocab=other.vocab_size or 0,
    )


def adapter_files(model: Model) -> tuple[AdapterFile, ...]:
    """Return the adapters that a model is to be loaded with."""
    return tuple(
        AdapterFile(
            name=adapter.name,
            path=adapter.path,
            fingerprint=adapter.fingerprint,
            size=adapter.file_size,
        )
        for adapter in model.adapters()
    )


def context_wish(model: Model) -> ContextWish:
    """Return what is wanted of a model's context, and what is known of it."""
    return ContextWish(
        default_ctx=settings.CONFIG.models.default_ctx,
        most_sequences=model.setting_in_force("n_seq_max"),
        layout=model.setting_in_force("kv_layout"),
        n_ctx=model.n_ctx,
        n_seq_max=model.n_seq_max,
        trained=model.context_length,
        tested=model.tested_ctx,
        seen=model.n_ctx_seen,
    )


def shape_of(model: Model) -> MemoryShape:
    """Return what decides a model's memory.

    Of a file whose header does not say, the whole is taken for one layer.
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
    model: Model, *, n_cells: int, n_seq_max: int, kv_layout: str
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
    cache = Cache(n_cells, streams, n_seq_max)
    return kv_bytes(kept_by(shape.blocks), types, cache, shape.window)


def load_plan(
    request: LoadRequest, machine: Machine, *, kv_budget: int | None = None
) -> LoadPlan:
    """Return how the model is loaded with a KV budget in bytes, else its own."""
    budget = request.kv_budget if kv_budget is None else kv_budget
    kept, window = kept_by(request.shape.blocks), request.shape.window
    some = _engine(request, _NO_CONTEXT)

    def cache_bytes(cache: Cache) -> int:
        kv = kv_bytes(kept, some, cache, window)
        if request.draft is not None:
            kv += kv_bytes(kept_by(request.draft.shape.blocks), some, cache, 0)
        return kv + recurrent_bytes(kept, cache.n_seq_max)

    def text_bytes(n_ctx: int) -> int:
        # llama.cpp has room for the logits of every token of a text.
        logits = n_ctx * request.n_vocab * _FLOAT
        return cache_bytes(unified_cache(n_ctx, 1)) + logits

    if some.is_generative:
        context = choose_context(request.wish, cache_bytes, budget)
    else:
        context = choose_text_length(request.wish, text_bytes, budget)
    engine = _engine(request, context)
    taken = estimate(request.shape, engine, machine, n_vocab=request.n_vocab)
    taken = with_adapters(taken, request.adapters)
    drafting = engine.of_draft_model
    if request.draft is not None and drafting is not None:
        draft = estimate(
            request.draft.shape, drafting, machine, n_vocab=request.draft.n_vocab
        )
        taken = with_draft_model(taken, draft)
    return LoadPlan(engine, taken)


def _engine(request: LoadRequest, context: ContextPlan) -> EngineConfig:
    in_force = request.settings
    return EngineConfig(
        paths=request.paths,
        n_ctx=context.n_ctx,
        n_seq_max=context.n_seq_max,
        n_ctx_max=context.n_ctx_max,
        kv_layout=context.kv_layout,
        n_cells=context.n_cells,
        n_cells_max=context.n_cells_max,
        cache_type_k=in_force.cache_type_k,
        cache_type_v=in_force.type_v,
        flash_attention=in_force.flash_attention,
        swa_full=in_force.swa_full,
        n_batch=in_force.n_batch,
        n_ubatch=in_force.n_ubatch,
        n_threads=in_force.n_threads,
        n_threads_batch=in_force.n_threads_batch,
        numa=in_force.numa,
        use_mmap=in_force.use_mmap,
        use_mlock=in_force.use_mlock,
        n_gpu_layers=in_force.n_gpu_layers,
        split_mode=in_force.split_mode,
        tensor_split=in_force.tensor_split,
        main_gpu=in_force.main_gpu,
        shares_prefixes=in_force.shares_prefixes,
        draft=in_force.draft,
        draft_paths=request.draft.paths if request.draft is not None else (),
        task=request.task,
        pooling=request.pooling,
        adapters=request.adapters,
        cache_dir=request.cache_dir,
        cache_bytes=request.cache_bytes,
        fingerprint=request.fingerprint,
    )


def plan_within(
    request: LoadRequest,
    machine: Machine,
    memory: tuple[int, ...],
    *,
    is_mapped: bool = False,
) -> LoadPlan | None:
    """Return how the model is best loaded into free memory, the host's first.

    None if it does not fit with the smallest context that its settings allow.
    """
    best = load_plan(request, machine)
    if best.fits(memory, is_mapped=is_mapped):
        return best
    low, high = 0, request.kv_budget
    found = load_plan(request, machine, kv_budget=low)
    if not found.fits(memory, is_mapped=is_mapped):
        return None
    for _ in range(_STEPS):
        middle = (low + high) // 2
        plan = load_plan(request, machine, kv_budget=middle)
        if plan.fits(memory, is_mapped=is_mapped):
            low, found = middle, plan
        else:
            high = middle
    return found
