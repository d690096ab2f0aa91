"""How a model is loaded, and the memory that it then takes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inference.capacity.context import (
    ContextPlan,
    ContextSpec,
    choose_context,
    choose_text_length,
)
from inference.capacity.kv_cache_size import (
    KvCacheShape,
    cache_elements,
    kv_bytes,
    recurrent_bytes,
    unified_cache,
)
from inference.capacity.layer_devices import devices_in_order, gpu_shares
from inference.capacity.memory_estimate import (
    MemoryEstimate,
    estimate_memory,
    with_adapters,
    with_draft_model,
    with_projector,
)
from inference.engine.config.engine_config import EngineConfig

if TYPE_CHECKING:
    from inference.capacity.machine import Gpu, Machine
    from inference.engine.config.adapters import AdapterFile
    from registry.gguf.memory_shape import MemoryShape
    from registry.load_settings import LoadSettings

_FLOAT = 4
#: Steps of the binary search for the largest KV budget that fits.
_STEPS = 16
#: Stands for the context while the context itself is being chosen.
_NO_CONTEXT = ContextPlan("split", 1, 1, 1, 1, 1)


@dataclass(frozen=True, slots=True)
class DraftModel:
    """The draft model of speculative decoding, loaded in the same process."""

    paths: tuple[str, ...]
    shape: MemoryShape
    n_vocab: int


@dataclass(frozen=True, slots=True)
class ProjectorFile:
    """What reads images for a model, and its bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """A model to load, with its settings. ``kv_budget`` is in bytes.

    ``remote`` are the devices of its RPC servers.
    """

    paths: tuple[str, ...]
    shape: MemoryShape
    n_vocab: int
    settings: LoadSettings
    context: ContextSpec
    kv_budget: int
    task: str = "generate"
    pooling: str = ""
    adapters: tuple[AdapterFile, ...] = ()
    draft: DraftModel | None = None
    projector: ProjectorFile | None = None
    cache_dir: str = ""
    cache_bytes: int = 0
    fingerprint: str = ""
    remote: tuple[Gpu, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How a model is loaded, and the bytes that it takes by device.

    The last devices of the estimate are ``remote``, those of its RPC servers.
    """

    engine: EngineConfig
    estimate: MemoryEstimate
    remote: tuple[Gpu, ...] = ()

    def fits(self, memory: tuple[int, ...], *, is_mapped: bool = False) -> bool:
        """Return whether it fits into free memory by device, the host first.

        ``is_mapped``: another worker has mapped the same file already. ``memory`` is
        this machine's; an RPC server has what it offers.
        """
        return all(
            needed <= device.limit for device, needed in self.remote_needs
        ) and all(
            needed <= free
            for needed, free in zip(
                self.needs(is_mapped=is_mapped), memory, strict=True
            )
        )

    def needs(self, *, is_mapped: bool = False) -> tuple[int, ...]:
        """Return the bytes that it takes of this machine's devices, the host first."""
        host, *gpus = self.estimate.totals
        local = gpus[: len(gpus) - len(self.remote)]
        return (host - (self.estimate.mapped if is_mapped else 0), *local)

    @property
    def remote_needs(self) -> list[tuple[Gpu, int]]:
        """The devices of its RPC servers, and the bytes that it takes of each."""
        totals = self.estimate.totals
        first = len(totals) - len(self.remote)
        return list(zip(self.remote, totals[first:], strict=True))


def load_plan(
    spec: LoadSpec, machine: Machine, *, kv_budget: int | None = None
) -> LoadPlan:
    """Return how the model is loaded. ``kv_budget`` replaces the spec's, in bytes."""
    budget = spec.kv_budget if kv_budget is None else kv_budget
    machine = machine.with_remote(spec.remote)
    elements, window = cache_elements(spec.shape.blocks), spec.shape.window
    types = _engine(spec, _NO_CONTEXT)

    def cache_bytes(cache: KvCacheShape) -> int:
        kv = kv_bytes(elements, types, cache, window)
        if spec.draft is not None:
            kv += kv_bytes(cache_elements(spec.draft.shape.blocks), types, cache, 0)
        return kv + recurrent_bytes(elements, cache.n_seq_max)

    def text_bytes(n_ctx: int) -> int:
        # llama.cpp reserves logits for each token of a text.
        logits = n_ctx * spec.n_vocab * _FLOAT
        return cache_bytes(unified_cache(n_ctx, 1)) + logits

    if types.is_generative:
        context = choose_context(spec.context, cache_bytes, budget)
    else:
        context = choose_text_length(spec.context, text_bytes, budget)
    engine = _engine(spec, context)
    if spec.remote and not engine.tensor_split:
        # Not by what they have free at that moment: by what this plan counts with.
        order = devices_in_order(engine, machine)
        shares = gpu_shares(order, engine, machine)
        engine = replace(engine, tensor_split=tuple(shares))
    taken = estimate_memory(spec.shape, engine, machine, n_vocab=spec.n_vocab)
    taken = with_adapters(taken, spec.adapters)
    if spec.projector is not None:
        taken = with_projector(taken, spec.projector.size, machine)
    drafting = engine.of_draft_model
    if spec.draft is not None and drafting is not None:
        draft = estimate_memory(
            spec.draft.shape, drafting, machine, n_vocab=spec.draft.n_vocab
        )
        taken = with_draft_model(taken, draft)
    return LoadPlan(engine, taken, spec.remote)


def _engine(spec: LoadSpec, context: ContextPlan) -> EngineConfig:
    in_force = spec.settings
    return EngineConfig(
        paths=spec.paths,
        n_ctx=context.n_ctx,
        n_seq_max=context.n_seq_max,
        n_ctx_max=context.n_ctx_max,
        kv_layout=context.kv_layout,
        n_cells=context.n_cells,
        n_cells_max=context.n_cells_max,
        cache_type_k=in_force.cache_type_k,
        cache_type_v=in_force.type_v,
        flash_attention=in_force.flash_in_force,
        swa_full=in_force.swa_full,
        n_batch=in_force.n_batch,
        n_ubatch=in_force.n_ubatch,
        itl_target_ms=in_force.itl_target_ms,
        n_threads=in_force.n_threads,
        n_threads_batch=in_force.n_threads_batch,
        numa=in_force.numa,
        use_mmap=in_force.use_mmap,
        use_mlock=in_force.use_mlock,
        n_gpu_layers=in_force.n_gpu_layers,
        split_mode=in_force.split_mode,
        tensor_split=in_force.tensor_split,
        main_gpu=in_force.main_gpu,
        rpc_servers=in_force.rpc_servers,
        shares_prefixes=in_force.shares_prefixes,
        deterministic=in_force.deterministic,
        # With auto there are drafts where nothing speaks against them.
        draft="off" if in_force.deterministic else in_force.draft,
        draft_paths=spec.draft.paths if spec.draft is not None else (),
        task=spec.task,
        pooling=spec.pooling,
        adapters=spec.adapters,
        projector=spec.projector.path if spec.projector is not None else "",
        cache_dir="" if in_force.deterministic else spec.cache_dir,
        cache_bytes=spec.cache_bytes,
        fingerprint=spec.fingerprint,
    )


def plan_within(
    spec: LoadSpec,
    machine: Machine,
    memory: tuple[int, ...],
    *,
    is_mapped: bool = False,
) -> LoadPlan | None:
    """Return the best plan that fits into free memory by device, the host first.

    None if even the smallest context that the settings allow does not fit.
    """
    best = load_plan(spec, machine)
    if best.fits(memory, is_mapped=is_mapped):
        return best
    low, high = 0, spec.kv_budget
    found = load_plan(spec, machine, kv_budget=low)
    if not found.fits(memory, is_mapped=is_mapped):
        return None
    for _ in range(_STEPS):
        middle = (low + high) // 2
        plan = load_plan(spec, machine, kv_budget=middle)
        if plan.fits(memory, is_mapped=is_mapped):
            low, found = middle, plan
        else:
            high = middle
    return found
