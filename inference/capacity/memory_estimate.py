"""How much memory a model takes, reckoned before it is loaded: plain arithmetic.

Weights and caches follow llama.cpp's own sums. The widths of a graph were read
off its compute buffers for models of many shapes; tests compare both with what
llama.cpp says of such models and with what processes really take.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from inference.engine.config import STAGE_SEQUENCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inference.capacity.machine import Machine
    from inference.engine.adapters import AdapterFile
    from inference.engine.config import EngineConfig
    from registry.gguf.memory_shape import Block, MemoryShape, Weights, Widths

#: Bytes of one KV element; a quantised block of 32 has its scales in it.
KV_BYTES = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
}
#: llama.cpp rounds the cells of a stream up to a multiple of this.
CELL_PADDING = 256
_MIB = 2**20
_FLOAT = 4
#: What a matrix is multiplied with is quantised first, mostly to Q8_0.
_QUANTIZED = 34 / 32
#: Python with Django, Channels, NumPy and llama.cpp, and its threads.
_PROCESS_BYTES = 80 * _MIB
#: A token's text, its merges, and both indices over them.
_TOKEN_BYTES = 350
#: A GPU's context with llama.cpp's kernels, and what it takes of the host.
_GPU_CONTEXT_BYTES = 400 * _MIB
_GPU_HOST_BYTES = 250 * _MIB


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes on one device: the machine's own memory, or a GPU's.

    ``kv`` are K and V, ``recurrent`` the states of sequences, ``compute`` what a
    step needs, ``process`` everything that is there without them.
    """

    weights: int = 0
    kv: int = 0
    recurrent: int = 0
    compute: int = 0
    process: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.recurrent + self.compute + self.process


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes by device. ``mapped`` of the host's weights are the file's own pages.

    Workers of one file share those. ``stale`` are further pages of it, of weights
    that were repacked: nobody reads them again, so they are counted as resident,
    but the system takes them back when it needs the memory.
    """

    host: DeviceMemory
    gpus: tuple[DeviceMemory, ...] = ()
    mapped: int = 0
    stale: int = 0

    @property
    def resident(self) -> int:
        """Bytes of the host's that the process is said to have."""
        return self.host.total + self.stale

    @property
    def totals(self) -> tuple[int, ...]:
        """Bytes by device, the host first."""
        return (self.host.total, *(gpu.total for gpu in self.gpus))


@dataclass(frozen=True, slots=True)
class Kept:
    """Elements kept: of every token, of those in a window, of every sequence."""

    k: int = 0
    v: int = 0
    windowed_k: int = 0
    windowed_v: int = 0
    state: int = 0


def kept_by(blocks: Iterable[Block]) -> Kept:
    """Return what all these layers keep."""
    layers = list(blocks)
    whole = [layer for layer in layers if not layer.is_windowed]
    windowed = [layer for layer in layers if layer.is_windowed]
    return Kept(
        k=sum(layer.k for layer in whole),
        v=sum(layer.v for layer in whole),
        windowed_k=sum(layer.k for layer in windowed),
        windowed_v=sum(layer.v for layer in windowed),
        state=sum(layer.state for layer in layers),
    )


@dataclass(frozen=True, slots=True)
class Cache:
    """A KV cache: its cells in all streams, and how many may share a sequence's.

    A split cache has a stream for each of ``n_seq_max`` sequences, a unified one
    has one for all.
    """

    n_cells: int
    n_streams: int
    n_seq_max: int

    @property
    def cells_per_stream(self) -> int:
        """Cells of one stream, as llama.cpp rounds them."""
        return padded(-(-self.n_cells // self.n_streams))


def padded(n_cells: int) -> int:
    """Return the cells that llama.cpp gives a stream that needs ``n_cells``."""
    return -(-n_cells // CELL_PADDING) * CELL_PADDING


def split_cache(n_ctx: int, n_seq_max: int) -> Cache:
    """Return the cache in which every sequence has ``n_ctx`` cells of its own."""
    return Cache(padded(n_ctx) * n_seq_max, n_seq_max, n_seq_max)


def unified_cache(n_cells: int, n_seq_max: int) -> Cache:
    """Return the cache whose cells all sequences share."""
    return Cache(padded(n_cells), 1, n_seq_max)


def caches(config: EngineConfig) -> tuple[Cache, Cache]:
    """Return the cache at load, and the one that has grown as far as it may."""
    n_seq_max = config.n_seq_max
    if not config.is_generative:
        # The texts of one batch share it.
        batch = unified_cache(config.n_tokens_max, n_seq_max)
        return batch, batch
    n_ctx_max = max(config.n_ctx_max, config.n_ctx)
    whole = config.n_ctx * n_seq_max
    if config.kv_layout == "unified":
        first = unified_cache(config.n_cells or whole, n_seq_max)
        most = max(first.n_cells, config.n_cells_max)
        return first, unified_cache(most, n_seq_max)
    most = max(config.n_cells_max, whole)
    grown = max(1, min(n_seq_max, most // n_ctx_max))
    return split_cache(config.n_ctx, n_seq_max), split_cache(n_ctx_max, grown)


def cells_per_stream(
    config: EngineConfig, cache: Cache, window: int
) -> tuple[int, int]:
    """Return a stream's cells in layers that see all, and in those with a window.

    The latter have cells for the window alone, and for the tokens of a micro-batch,
    unless ``swa_full`` gives them all.
    """
    whole = cache.cells_per_stream
    if config.swa_full or not window:
        return whole, whole
    seen = window * (cache.n_seq_max if cache.n_streams == 1 else 1)
    return whole, min(whole, padded(seen + config.n_ubatch))


def kv_bytes(kept: Kept, config: EngineConfig, cache: Cache, window: int) -> int:
    """Return the bytes of K and V of a cache."""
    whole, windowed = cells_per_stream(config, cache, window)
    k = kept.k * whole + kept.windowed_k * windowed
    v = kept.v * whole + kept.windowed_v * windowed
    size = k * KV_BYTES[config.cache_type_k] + v * KV_BYTES[config.cache_type_v]
    return int(size) * cache.n_streams


def recurrent_bytes(kept: Kept, n_seq_max: int) -> int:
    """Return the bytes of the states of all sequences."""
    return kept.state * n_seq_max * _FLOAT


def compute_bytes(
    shape: MemoryShape,
    config: EngineConfig,
    cache: Cache,
    *,
    n_vocab: int,
    has_output: bool = True,
) -> int:
    """Return the bytes of a device's compute buffer, at a full micro-batch.

    The graph's steps share one buffer, so that the largest of them counts.
    """
    n_tokens = min(config.n_tokens_max, cache.n_cells)
    n_outputs = min(config.n_outputs_max, n_tokens)
    has_flash = config.flash_attention != "off"
    kinds = {block.is_windowed for block in shape.blocks if block.k}
    sizes = cells_per_stream(config, cache, shape.window)
    # Without a cache a micro-batch sees itself.
    seen = [sizes[is_windowed] for is_windowed in kinds] or [n_tokens]
    mask = sum(seen) * (2 if has_flash else _FLOAT)
    attention = _attention_width(shape.widths) * _FLOAT
    if not has_flash:
        # Without it there are scores of every token against every cell.
        scores = shape.widths.heads * max(seen)
        attention += (scores + shape.widths.query) * _FLOAT
    widest = max(attention + mask, _inner_width(shape.widths) * _FLOAT + mask)
    steps = widest * n_tokens
    if any(block.state for block in shape.blocks):
        steps += max(block.state for block in shape.blocks) * config.n_seq_max * _FLOAT
    if not has_output or not any(block.k or block.state for block in shape.blocks):
        return steps
    output = n_outputs * n_vocab + 4 * shape.widths.embedding * n_tokens
    return max(steps, output * _FLOAT)


def _attention_width(widths: Widths) -> int:
    """Return the floats of one token while a layer attends."""
    compressed = 2 * widths.latent * widths.heads
    return compressed + 2 * widths.query + (4 if compressed else 3) * widths.embedding


def _inner_width(widths: Widths) -> int:
    """Return the floats of one token inside of a layer's feed-forward or state."""
    embedding = widths.embedding
    used = widths.experts_used
    return max(
        (3 if widths.is_gated else 1) * widths.feed_forward + 4 * embedding,
        3 * widths.shared + 4 * embedding,
        3 * used * widths.expert + 5 * embedding,
        used * (2 * embedding + widths.expert) + 3 * embedding,
        2 * (widths.recurrent_in + widths.recurrent_conv) + embedding,
    )


def _work_bytes(widths: Widths, n_tokens: int) -> int:
    """Return the bytes in which a processor quantises what it multiplies."""
    inner = max(
        widths.feed_forward,
        widths.shared,
        widths.experts_used * widths.expert,
        widths.query,
        widths.embedding,
    )
    return int(inner * n_tokens * _QUANTIZED)


def process_bytes(config: EngineConfig, n_vocab: int) -> int:
    """Return the bytes of a worker without weights: with vocabulary and logits."""
    # Those of a prompt come on top where they are asked for, which is seldom.
    rows = config.n_seq_max if config.is_generative else config.n_outputs_max
    return _PROCESS_BYTES + n_vocab * (_TOKEN_BYTES + rows * _FLOAT)


def estimate(
    shape: MemoryShape, config: EngineConfig, machine: Machine, *, n_vocab: int
) -> Estimate:
    """Return what a worker will take once its context has grown as far as it may.

    Its ``resident`` is what the system says of the process after full micro-batches.
    """
    at_load, grown = caches(config)
    owners = layer_devices(len(shape.blocks), config, machine)
    held: list[list[Block]] = [[] for _ in range(1 + len(machine.gpus))]
    for block, owner in zip(shape.blocks, owners[:-1], strict=True):
        held[owner].append(block)
    devices = []
    for number, blocks in enumerate(held):
        is_used = number == 0 or bool(blocks) or owners[-1] == number
        if not is_used:
            devices.append(DeviceMemory())
            continue
        devices.append(
            DeviceMemory(
                weights=sum(block.weights.total for block in blocks),
                kv=max(
                    kv_bytes(kept_by(blocks), config, cache, shape.window)
                    for cache in (at_load, grown)
                ),
                recurrent=recurrent_bytes(kept_by(blocks), config.n_seq_max),
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
                process=_GPU_CONTEXT_BYTES if number else 0,
            )
        )
    taken = _with_ends(shape, config, machine, n_vocab, devices, owners[-1], held[0])
    if not _prefills_apart(shape, config, machine):
        return taken
    return _with_stage(taken, shape, config, n_vocab=n_vocab)


def _with_stage(
    taken: Estimate, shape: MemoryShape, config: EngineConfig, *, n_vocab: int
) -> Estimate:
    """Return an estimate with a context for prompts' pieces: see ``llama/stage.py``.

    It goes when the cache comes to have few sequences.
    """
    at_load, grown = caches(config)
    host = taken.host
    kv, compute = host.kv, 0
    for cache in (at_load, grown):
        if cache.n_streams >= STAGE_SEQUENCES:
            one = split_cache(cache.cells_per_stream, 1)
            kept = kept_by(shape.blocks)
            both = kv_bytes(kept, config, cache, 0) + kv_bytes(kept, config, one, 0)
            kv = max(kv, both)
            own = compute_bytes(shape, config.of_stage, one, n_vocab=n_vocab)
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
) -> Estimate:
    """Add what lies outside of layers, and the host's way of keeping weights."""
    host = devices[0]
    gpus = devices[1:]
    kept = [block.weights for block in on_host]
    if output == 0:
        kept.append(shape.output)
    else:
        gpu = gpus[output - 1]
        gpus[output - 1] = replace(gpu, weights=gpu.weights + shape.output.total)
    # A tied output is the input's matrix, unless it lies elsewhere or is repacked.
    tied = shape.output.total if shape.is_tied and output == 0 else 0
    file = shape.input.total + sum(weights.total for weights in kept) - tied
    # With a GPU, llama.cpp keeps the host's weights in memory that a GPU can read.
    is_mapped = config.use_mmap and not machine.gpus
    repacked = 0 if machine.gpus else _repacked(kept, machine)
    # The input's matrix is read as it is, whatever the output makes of it.
    copied = _repacked([shape.output], machine) if tied and repacked else 0
    stale = repacked - copied if is_mapped else 0
    if config.use_mlock:
        # What is locked is never taken back.
        copied, stale = copied + stale, 0
    if config.split_mode == "row":
        gpus = _by_rows(gpus, config, machine)
    is_host_busy = bool(on_host) or output == 0
    work = _work_bytes(shape.widths, config.n_tokens_max) if is_host_busy else 0
    host = replace(
        host,
        weights=file + copied,
        compute=host.compute + work,
        process=process_bytes(config, n_vocab)
        + (_GPU_HOST_BYTES if any(gpu.total for gpu in gpus) else 0),
    )
    return Estimate(host, tuple(gpus), file - stale if is_mapped else 0, stale)


def with_adapters(taken: Estimate, adapters: Iterable[AdapterFile]) -> Estimate:
    """Return an estimate with adapters, whose matrices lie beside the model's own."""
    size = sum(adapter.size for adapter in adapters)
    devices = (taken.host, *taken.gpus)
    weights = sum(device.weights for device in devices) or 1
    host, *gpus = (
        replace(each, weights=each.weights + size * each.weights // weights)
        for each in devices
    )
    return replace(taken, host=host, gpus=tuple(gpus))


def with_draft_model(taken: Estimate, draft: Estimate) -> Estimate:
    """Return an estimate with that of a draft model, which is in the same process."""
    gpus = zip(taken.gpus, draft.gpus, strict=True)
    host_process = taken.host.process + draft.host.process - _PROCESS_BYTES
    return Estimate(
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


def _by_rows(
    gpus: Sequence[DeviceMemory], config: EngineConfig, machine: Machine
) -> list[DeviceMemory]:
    """Spread the GPUs' weights, each matrix by its rows, over all of them."""
    shares = _shares(range(1, len(gpus) + 1), config, machine)
    total = sum(gpu.weights for gpu in gpus)
    return [
        replace(gpu, weights=int(total * share), process=_GPU_CONTEXT_BYTES)
        for gpu, share in zip(gpus, shares, strict=True)
    ]


def _shares(gpus: Iterable[int], config: EngineConfig, machine: Machine) -> list[float]:
    """Return each GPU's share of the model: as told, or by its free memory."""
    told = dict(enumerate(config.tensor_split, start=1))
    shares = [told.get(gpu, 0.0) for gpu in gpus]
    if not any(shares):
        shares = [float(machine.gpus[gpu - 1].free) for gpu in gpus]
    total = sum(shares) or 1.0
    return [share / total for share in shares]


def _repacked(held: Sequence[Weights], machine: Machine) -> int:
    return sum(
        size
        for weights in held
        for name, size in weights.matrices.items()
        if name in machine.repacks
    )


def layer_devices(count: int, config: EngineConfig, machine: Machine) -> list[int]:
    """Return the device of every layer and of the output: 0 is the host, then GPUs.

    The last layers go to GPUs first, the output counting as one, in shares.
    """
    gpus = list(range(1, len(machine.gpus) + 1))
    if config.split_mode == "none":
        gpus = gpus[config.main_gpu : config.main_gpu + 1]
    if not gpus:
        return [0] * (count + 1)
    wanted = count + 1 if config.n_gpu_layers < 0 else config.n_gpu_layers
    offloaded = min(wanted, count + 1)
    borders = list(accumulate(_shares(gpus, config, machine)))
    first = count + 1 - offloaded
    devices = [0] * first
    for layer in range(offloaded):
        number = bisect_right(borders, layer / offloaded)
        devices.append(gpus[min(number, len(gpus) - 1)])
    return devices
