"""How much memory a model will take on each device, estimated before it is loaded.

Weights and KV caches are computed as llama.cpp does, compute buffers are estimated.
Tests compare the results with what llama.cpp reports for models of many shapes, and
with the memory of real processes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inference.capacity.compute_buffer import compute_bytes, work_bytes
from inference.capacity.kv_cache_size import (
    cache_elements,
    caches,
    kv_bytes,
    recurrent_bytes,
    split_cache,
)
from inference.capacity.layer_devices import gpu_shares, layer_devices
from inference.engine.config.engine_config import PREFILL_CONTEXT_SEQUENCES
from inference.engine.media.encoded_cache import KEPT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inference.capacity.machine import Machine
    from inference.engine.config.adapters import AdapterFile
    from inference.engine.config.engine_config import EngineConfig
    from registry.gguf.memory_shape import Block, MemoryShape, Weights

_MIB = 2**20
_FLOAT = 4
# The four figures below were measured: tests/inference/capacity/
# test_memory_estimate_real.py compares them with the resident memory of processes.
#: Python with Django, Channels, NumPy and llama.cpp, and its threads.
_PROCESS_BYTES = 80 * _MIB
#: For each token of the vocabulary: its text, its merges and the index of each.
_TOKEN_BYTES = 350
#: A GPU's context with llama.cpp's kernels, and the host memory that comes with it.
_GPU_CONTEXT_BYTES = 400 * _MIB
_GPU_HOST_BYTES = 250 * _MIB


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes on one device: the host's memory, or a GPU's.

    ``kv`` is the KV cache, ``recurrent`` the states of sequences, ``compute`` the
    buffers of a step, ``process`` what the process needs besides.
    """

    weights: int = 0
    kv: int = 0
    recurrent: int = 0
    compute: int = 0
    process: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.recurrent + self.compute + self.process


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by device.

    ``mapped`` is the part of the host's weights that is mapped from the file: workers
    of the same file share it. ``stale`` are further pages of the file, of weights that
    llama.cpp repacked: the system counts them as resident, but nothing reads them
    again, so it drops them when it needs the memory.
    """

    host: DeviceMemory
    gpus: tuple[DeviceMemory, ...] = ()
    mapped: int = 0
    stale: int = 0

    @property
    def resident(self) -> int:
        """The host bytes that the system will report for the process."""
        return self.host.total + self.stale

    @property
    def totals(self) -> tuple[int, ...]:
        """Bytes by device, the host first."""
        return (self.host.total, *(gpu.total for gpu in self.gpus))


def estimate_memory(
    shape: MemoryShape, config: EngineConfig, machine: Machine, *, n_vocab: int
) -> MemoryEstimate:
    """Return the memory of a worker whose context has grown to its maximum.

    ``resident`` is what the system reports for the process after full micro-batches.
    """
    at_load, grown = caches(config)
    owners = layer_devices(len(shape.blocks), config, machine)
    held: list[list[Block]] = [[] for _ in range(1 + len(machine.gpus))]
    for block, owner in zip(shape.blocks, owners[:-1], strict=True):
        held[owner].append(block)
    devices = []
    local = range(1, len(machine.local_gpus) + 1)
    for number, blocks in enumerate(held):
        is_used = number == 0 or bool(blocks) or owners[-1] == number
        if not is_used:
            devices.append(DeviceMemory())
            continue
        devices.append(
            DeviceMemory(
                weights=sum(block.weights.total for block in blocks),
                kv=max(
                    kv_bytes(cache_elements(blocks), config, cache, shape.window)
                    for cache in (at_load, grown)
                ),
                recurrent=recurrent_bytes(cache_elements(blocks), config.n_seq_max),
                compute=max(
                    compute_bytes(
                        shape,
                        config,
                        cache,
                        n_vocab=n_vocab,
                        has_output=owners[-1] == number,
                    )
                    for cache in (at_load, grown)
                ),
                process=_GPU_CONTEXT_BYTES if number in local else 0,
            )
        )
    taken = _with_ends(shape, config, machine, n_vocab, devices, owners[-1], held[0])
    if not _prefills_apart(shape, config, machine):
        return taken
    return _with_prefill_context(taken, shape, config, n_vocab=n_vocab)


def _with_prefill_context(
    taken: MemoryEstimate, shape: MemoryShape, config: EngineConfig, *, n_vocab: int
) -> MemoryEstimate:
    """Add the second context for pieces of prompts: ``llama/prefill_context.py``.

    A cache of fewer than PREFILL_CONTEXT_SEQUENCES sequences has none.
    """
    at_load, grown = caches(config)
    host = taken.host
    kv, compute = host.kv, 0
    for cache in (at_load, grown):
        if cache.n_streams >= PREFILL_CONTEXT_SEQUENCES:
            one = split_cache(cache.cells_per_stream, 1)
            kept = cache_elements(shape.blocks)
            both = kv_bytes(kept, config, cache, 0) + kv_bytes(kept, config, one, 0)
            kv = max(kv, both)
            own = compute_bytes(shape, config.of_prefill_context, one, n_vocab=n_vocab)
            compute = max(compute, own)
    return replace(taken, host=replace(host, kv=kv, compute=host.compute + compute))


def _prefills_apart(shape: MemoryShape, config: EngineConfig, machine: Machine) -> bool:
    return (
        config.may_prefill_apart
        and (config.n_gpu_layers == 0 or not machine.gpus)
        and not (shape.window or shape.is_mla)
        and not any(block.state for block in shape.blocks)
    )


def _with_ends(
    shape: MemoryShape,
    config: EngineConfig,
    machine: Machine,
    n_vocab: int,
    devices: list[DeviceMemory],
    output: int,
    on_host: Sequence[Block],
) -> MemoryEstimate:
    """Add the weights outside of layers, and how the host keeps its weights."""
    host = devices[0]
    gpus = devices[1:]
    kept = [block.weights for block in on_host]
    if output == 0:
        kept.append(shape.output)
    else:
        gpu = gpus[output - 1]
        gpus[output - 1] = replace(gpu, weights=gpu.weights + shape.output.total)
    # A tied output shares the input's matrix, unless it is on a GPU or repacked.
    tied = shape.output.total if shape.is_tied and output == 0 else 0
    file = shape.input.total + sum(weights.total for weights in kept) - tied
    # With a GPU, llama.cpp keeps the host's weights in memory that the GPU can read.
    local = machine.local_gpus
    is_mapped = config.use_mmap and not local
    repacked = 0 if local else _repacked(kept, machine)
    # The input reads the matrix unpacked, so a repacked output is a second copy.
    copied = _repacked([shape.output], machine) if tied and repacked else 0
    stale = repacked - copied if is_mapped else 0
    if config.use_mlock:
        # The system cannot drop pages that are locked.
        copied, stale = copied + stale, 0
    if config.split_mode == "row":
        gpus = _by_rows(gpus, config, machine)
    is_host_busy = bool(on_host) or output == 0
    work = work_bytes(shape.widths, config.n_tokens_max) if is_host_busy else 0
    host = replace(
        host,
        weights=file + copied,
        compute=host.compute + work,
        process=process_bytes(config, n_vocab)
        + (_GPU_HOST_BYTES if any(gpu.total for gpu in gpus[: len(local)]) else 0),
    )
    return MemoryEstimate(host, tuple(gpus), file - stale if is_mapped else 0, stale)


def with_adapters(
    taken: MemoryEstimate, adapters: Iterable[AdapterFile]
) -> MemoryEstimate:
    """Add LoRA adapters: their matrices are on the devices of the model's own."""
    size = sum(adapter.size for adapter in adapters)
    devices = (taken.host, *taken.gpus)
    weights = sum(device.weights for device in devices) or 1
    host, *gpus = (
        replace(each, weights=each.weights + size * each.weights // weights)
        for each in devices
    )
    return replace(taken, host=host, gpus=tuple(gpus))


def with_projector(
    taken: MemoryEstimate, size: int, machine: Machine
) -> MemoryEstimate:
    """Add a projector of ``size`` bytes: it is on the first GPU that the model is on.

    It is never on an RPC server. Encoding a large image takes some half of its weights
    besides.
    """
    local = taken.gpus[: len(machine.local_gpus)]
    on_gpu = next((n for n, gpu in enumerate(local) if gpu.weights), None)
    host = replace(taken.host, process=taken.host.process + KEPT_BYTES)
    gpus = list(taken.gpus)
    device = host if on_gpu is None else gpus[on_gpu]
    grown = replace(
        device, weights=device.weights + size, compute=device.compute + size // 2
    )
    if on_gpu is None:
        host = grown
    else:
        gpus[on_gpu] = grown
    return replace(taken, host=host, gpus=tuple(gpus))


def with_draft_model(taken: MemoryEstimate, draft: MemoryEstimate) -> MemoryEstimate:
    """Add the estimate of a draft model, which is loaded in the same process."""
    gpus = zip(taken.gpus, draft.gpus, strict=True)
    host_process = taken.host.process + draft.host.process - _PROCESS_BYTES
    return MemoryEstimate(
        host=replace(_sum(taken.host, draft.host), process=host_process),
        gpus=tuple(
            replace(_sum(one, other), process=max(one.process, other.process))
            for one, other in gpus
        ),
        mapped=taken.mapped + draft.mapped,
        stale=taken.stale + draft.stale,
    )


def _sum(one: DeviceMemory, other: DeviceMemory) -> DeviceMemory:
    return DeviceMemory(
        weights=one.weights + other.weights,
        kv=one.kv + other.kv,
        recurrent=one.recurrent + other.recurrent,
        compute=one.compute + other.compute,
        process=one.process + other.process,
    )


def process_bytes(config: EngineConfig, n_vocab: int) -> int:
    """Return the bytes of a process besides its model: with vocabulary and logits.

    Requests for the log-probabilities of prompts need more logits; they are rare.
    """
    rows = config.n_seq_max if config.is_generative else config.n_outputs_max
    return _PROCESS_BYTES + n_vocab * (_TOKEN_BYTES + rows * _FLOAT)


def _by_rows(
    gpus: Sequence[DeviceMemory], config: EngineConfig, machine: Machine
) -> list[DeviceMemory]:
    """Spread the weights on GPUs over all of them: each matrix is cut by rows."""
    shares = gpu_shares(range(1, len(gpus) + 1), config, machine)
    total = sum(gpu.weights for gpu in gpus)
    return [
        replace(gpu, weights=int(total * share), process=_GPU_CONTEXT_BYTES)
        for gpu, share in zip(gpus, shares, strict=True)
    ]


def _repacked(held: Sequence[Weights], machine: Machine) -> int:
    return sum(
        size
        for weights in held
        for name, size in weights.matrices.items()
        if name in machine.repacks
    )
