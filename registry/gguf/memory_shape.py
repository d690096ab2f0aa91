"""The facts in a model's header that its memory depends on, layer by layer.

``inference.capacity.memory_estimate`` computes bytes from them. Which layers keep K,
V and states follows llama.cpp's hparams and ``create_memory``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from registry.gguf.architecture_keys import ArchitectureKeys
from registry.gguf.quantization import TENSOR_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.gguf.header import GGUFHeader, TensorInfo

#: llama.cpp's LLAMA_MAX_LAYERS.
MAX_LAYERS = 1024
#: Most elements in one layer; a header with more is wrong.
_MAX_ELEMENTS = 2**40
#: Rows that llama.cpp's kernels for repacked weights process at once.
_ROWS_AT_ONCE = 8

_BLOCK = re.compile(r"blk\.(\d{1,4})\.(.+)")
_EXPERTS = re.compile(r"_exps\.weight$")

#: Architectures without a KV cache: they process the whole text at once.
_WITHOUT_MEMORY = frozenset(
    {
        "bert",
        "dream",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llada",
        "llada-moe",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "rnd1",
    }
)
#: Architectures in which every layer is recurrent.
_RECURRENT = frozenset({"arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"})
#: Architectures in which every n-th layer has attention and the others a state.
ATTENTION_INTERVALS = {
    "minimax-01": 8,
    "qwen35": 4,
    "qwen35moe": 4,
    "qwen3next": 4,
    "qwen4exp": 4,
}
#: In every n layers, all but one have a sliding window: the last, or the first if
#: True. A pattern in the header wins.
_WINDOW_PATTERNS = {
    "afmoe": (4, False),
    "cohere2": (4, False),
    "cohere2moe": (4, True),
    "exaone-moe": (4, False),
    "exaone4": (4, False),
    "gemma2": (2, False),
    "gemma3": (6, False),
    "gemma3n": (5, False),
    "gpt-oss": (2, False),
    "laguna": (4, True),
    "llama4": (4, False),
    "mellum": (4, False),
    "muse-glimmer": (4, False),
    "olmo2": (4, False),
    "plamo3": (8, False),
    "smallthinker": (4, True),
}
#: Architectures whose header always states which layers have one.
_WINDOWS_BY_LAYER = frozenset(
    {"dots3note", "gemma4", "granite_swa", "maple", "mimo2", "spark2_5", "step35"}
)
#: Windows that llama.cpp fixes, and those for headers that state none.
_FIXED_WINDOWS = {"llama4": 8192, "smallthinker": 4096}
_DEFAULT_WINDOWS = {"exaone-moe": 128, "exaone4": 4096, "gemma2": 4096}
#: Layers with their own K and V; later layers share them.
_OWN_KV_LAYERS = {"gemma3n": 20}


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of tensors: ``matrices`` by their type, and all others in ``rest``.

    A matrix here is a tensor that llama.cpp may repack for the processor.
    """

    matrices: dict[str, int] = field(default_factory=dict)
    rest: int = 0

    @property
    def total(self) -> int:
        """The sum of all bytes."""
        return sum(self.matrices.values()) + self.rest


@dataclass(frozen=True, slots=True)
class Block:
    """One layer: its weights and the number of elements in its cache.

    ``k`` and ``v`` are per token (of the sliding window if ``is_windowed``),
    ``state`` is per sequence.
    """

    weights: Weights
    k: int = 0
    v: int = 0
    is_windowed: bool = False
    state: int = 0


@dataclass(frozen=True, slots=True)
class Widths:
    """Widths of a layer's activations, in elements per token.

    ``query`` is that of all ``heads``, ``latent`` that of the compressed K.
    ``expert`` is the inner width of one expert, ``shared`` that of the shared ones.
    ``is_gated``: the feed-forward has a gate of the same width.
    """

    embedding: int = 0
    feed_forward: int = 0
    is_gated: bool = False
    expert: int = 0
    experts_used: int = 0
    shared: int = 0
    heads: int = 0
    head_k: int = 0
    head_v: int = 0
    query: int = 0
    latent: int = 0
    recurrent_in: int = 0
    recurrent_conv: int = 0


@dataclass(frozen=True, slots=True)
class MemoryShape:
    """What a model's memory depends on.

    ``window`` is the sliding window in tokens. ``is_tied``: the output uses the
    input's matrix, and ``output`` counts its bytes again.
    """

    input: Weights
    output: Weights
    blocks: tuple[Block, ...]
    widths: Widths
    window: int = 0
    is_tied: bool = False
    is_mla: bool = False

    @property
    def kv_elements_per_token(self) -> int:
        """Elements of K and V that one token takes over all layers."""
        return sum(block.k + block.v for block in self.blocks)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON; equal neighbouring layers are one entry with a count."""
        blocks = [
            [len(list(alike)), asdict(block)] for block, alike in groupby(self.blocks)
        ]
        return {
            "input": asdict(self.input),
            "output": asdict(self.output),
            "blocks": blocks,
            "widths": asdict(self.widths),
            "window": self.window,
            "is_tied": self.is_tied,
            "is_mla": self.is_mla,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> MemoryShape:
        """Return the shape that ``as_json`` wrote."""
        blocks: list[Block] = []
        for count, block in data["blocks"]:
            weights = Weights(**block["weights"])
            blocks += [Block(**{**block, "weights": weights})] * count
        return cls(
            **{
                **data,
                "input": Weights(**data["input"]),
                "output": Weights(**data["output"]),
                "blocks": tuple(blocks),
                "widths": Widths(**data["widths"]),
            }
        )


def memory_shape(
    headers: Sequence[GGUFHeader], architecture: str
) -> MemoryShape | None:
    """Return a model's memory shape; None if the first header lacks a key for it."""
    keys = ArchitectureKeys(headers[0], architecture)
    count = keys.integer("block_count")
    width = keys.integer("embedding_length")
    heads, heads_kv = keys.numbers("attention.head_count"), keys.heads_kv()
    if not 0 < count <= MAX_LAYERS or not width or heads is None or heads_kv is None:
        return None
    tensors = [tensor for header in headers for tensor in header.tensors]
    ends, layers = _by_layer(tensors, count)
    has_output = "output.weight" in {tensor.name for tensor in tensors}
    is_tied = not has_output and architecture not in _WITHOUT_MEMORY
    embedding = [tensor for tensor in ends if tensor.name == "token_embd.weight"]
    output = [tensor for tensor in ends if tensor.name.startswith("output")]
    inputs = [tensor for tensor in ends if not tensor.name.startswith("output")]
    caches = _layer_caches(keys, count, width, next((n for n in heads if n), 0))
    if caches is None:
        return None
    return MemoryShape(
        input=_weights(inputs, are_tables=True),
        output=_weights([*output, *(embedding if is_tied else ())]),
        blocks=tuple(
            Block(_weights(layer), *cache)
            for layer, cache in zip(layers, caches, strict=True)
        ),
        widths=_widths(keys, tensors, width, max(heads)),
        window=_window(keys),
        is_tied=is_tied,
        is_mla=_is_mla(keys),
    )


# Weights --------------------------------------------------------------------------


def _by_layer(
    tensors: Iterable[TensorInfo], count: int
) -> tuple[list[TensorInfo], list[list[TensorInfo]]]:
    """Return the tensors outside the layers, and those of each layer."""
    ends: list[TensorInfo] = []
    layers: list[list[TensorInfo]] = [[] for _ in range(count)]
    for tensor in tensors:
        block = _BLOCK.match(tensor.name)
        number = int(block[1]) if block else count
        (layers[number] if number < count else ends).append(tensor)
    return ends, layers


def _weights(tensors: Iterable[TensorInfo], *, are_tables: bool = False) -> Weights:
    matrices: Counter[str] = Counter()
    rest = 0
    for tensor in tensors:
        if not are_tables and _may_be_repacked(tensor):
            matrices[TENSOR_TYPES[tensor.type].name] += tensor.size
        else:
            rest += tensor.size
    return Weights(dict(matrices), rest)


def _may_be_repacked(tensor: TensorInfo) -> bool:
    """Whether ggml_repack_get_optimal_repack_type may choose it, if its type fits."""
    dimensions = len(tensor.shape)
    is_matrix = dimensions == 2 or (
        dimensions == 3 and _EXPERTS.search(tensor.name) is not None
    )
    return is_matrix and tensor.shape[1] % _ROWS_AT_ONCE == 0


# K, V and states -------------------------------------------------------------------

_LayerCache = tuple[int, int, bool, int]


def _layer_caches(
    keys: ArchitectureKeys, count: int, width: int, heads: int
) -> list[_LayerCache] | None:
    """Return each layer's K, V, whether it has a sliding window, and its state."""
    default = width // heads if heads else 0
    lengths = [
        (
            keys.integer(f"attention.key_length{suffix}", default),
            keys.integer(f"attention.value_length{suffix}", default),
        )
        for suffix in ("", "_swa")
    ]
    if keys.get("attention.key_length_swa") is None:
        lengths[1] = lengths[0]
    heads_kv = keys.per_layer(
        "attention.head_count_kv"
        if keys.numbers("attention.head_count_kv")
        else "attention.head_count",
        count,
    )
    is_windowed = _windowed(keys, count)
    is_recurrent = _recurrent(keys, count, heads_kv)
    has_kv = _has_kv(keys, count, is_recurrent)
    # DeepSeek's sparse attention stores the keys of an index next to K.
    index = keys.integer("attention.indexer.key_length")
    state = _state(keys, width, heads)
    caches = []
    for layer in range(count):
        key, value = lengths[is_windowed[layer]]
        own = heads_kv[layer] if has_kv[layer] else 0
        caches.append(
            (
                own * key + (index if own else 0),
                0 if _is_mla(keys) else own * value,
                is_windowed[layer],
                state if is_recurrent[layer] else 0,
            )
        )
    if max(max(k, v, state) for k, v, _, state in caches) > _MAX_ELEMENTS:
        return None
    return caches


def _is_mla(keys: ArchitectureKeys) -> bool:
    """Whether it has multi-head latent attention: a compressed K that holds V."""
    return bool(
        keys.integer("attention.key_length_mla")
        and keys.integer("attention.value_length_mla")
    )


def _has_kv(
    keys: ArchitectureKeys, count: int, is_recurrent: Sequence[bool]
) -> list[bool]:
    architecture = keys.architecture
    if architecture in _WITHOUT_MEMORY:
        return [False] * count
    # Layers for multi-token prediction are not loaded.
    last = count - keys.integer("nextn_predict_layers")
    last = min(last, _OWN_KV_LAYERS.get(architecture, last))
    last -= keys.integer("attention.shared_kv_layers")
    inside = keys.per_layer("feed_forward_length", count)
    return [
        layer < last
        and (architecture == "falcon-h1" or not is_recurrent[layer])
        and not (architecture.startswith("nemotron_h") and inside[layer])
        for layer in range(count)
    ]


def _recurrent(
    keys: ArchitectureKeys, count: int, heads_kv: Sequence[int]
) -> list[bool]:
    """Return which layers keep a state per sequence."""
    architecture = keys.architecture
    if architecture in _RECURRENT or architecture == "falcon-h1":
        return [True] * count
    stated = keys.flags("attention.recurrent_layers")
    if stated is not None and len(stated) >= count:
        return stated[:count]
    interval = keys.integer(
        "full_attention_interval", ATTENTION_INTERVALS.get(architecture, 0)
    )
    if interval:
        return [(layer + 1) % interval != 0 for layer in range(count)]
    inside = keys.per_layer("feed_forward_length", count)
    is_nemotron = architecture.startswith("nemotron_h")
    return [
        heads_kv[layer] == 0 and not (is_nemotron and inside[layer])
        for layer in range(count)
    ]


def _state(keys: ArchitectureKeys, width: int, heads: int) -> int:
    """Return the elements of a layer's state: llama.cpp's n_embd_r plus n_embd_s."""
    if head := keys.integer("wkv.head_size"):
        return keys.integer("token_shift_count", 2) * width + width * head
    if length := keys.integer("shortconv.l_cache"):
        return width * (length - 1)
    kernel = keys.integer("ssm.conv_kernel")
    if head := keys.integer("kda.head_dim"):
        convolved = (kernel - 1 if kernel else 3) * heads * head
        return 3 * convolved + head * head * heads
    inner, size = keys.integer("ssm.inner_size"), keys.integer("ssm.state_size")
    convolved = inner + 2 * keys.integer("ssm.group_count") * size
    return max(kernel - 1, 0) * convolved + size * inner


# Sliding windows -------------------------------------------------------------------


def _window(keys: ArchitectureKeys) -> int:
    """Return the sliding window in tokens, 0 if llama.cpp uses none for the model."""
    architecture = keys.architecture
    stated = keys.integer(
        "attention.sliding_window", _DEFAULT_WINDOWS.get(architecture, 0)
    )
    if architecture == "llama4" and keys.get("attention.sliding_window") is None:
        return _FIXED_WINDOWS[architecture]
    if architecture == "exaone4" and keys.integer("block_count") != 64:
        return 0
    known = (*_WINDOW_PATTERNS, *_WINDOWS_BY_LAYER, "lfm2")
    if not stated or architecture not in known:
        return 0
    return _FIXED_WINDOWS.get(architecture, stated)


def _windowed(keys: ArchitectureKeys, count: int) -> list[bool]:
    """Return which layers have a sliding window."""
    if not _window(keys):
        return [False] * count
    name = "attention.sliding_window_pattern"
    stated = keys.flags(name)
    if stated is not None:
        return (stated + [False] * count)[:count]
    if keys.architecture not in _WINDOW_PATTERNS:
        return [keys.architecture == "lfm2"] * count
    period, is_first = _WINDOW_PATTERNS[keys.architecture]
    period = keys.integer(name, period)
    if not period:
        return [True] * count
    whole = 0 if is_first else period - 1
    return [layer % period != whole for layer in range(count)]


# Widths ----------------------------------------------------------------------------


def _widths(
    keys: ArchitectureKeys, tensors: Sequence[TensorInfo], width: int, heads: int
) -> Widths:
    default = width // heads if heads else 0

    def widest(suffixes: tuple[str, ...], axis: int) -> int:
        sizes = (
            tensor.shape[axis]
            for tensor in tensors
            if tensor.name.endswith(suffixes) and len(tensor.shape) > axis
        )
        return max(sizes, default=0)

    feed_forward = widest((".ffn_down.weight",), 0)
    is_fused = widest((".ffn_up.weight",), 1) == 2 * feed_forward
    return Widths(
        embedding=width,
        feed_forward=feed_forward,
        is_gated=is_fused or bool(widest((".ffn_gate.weight",), 0)),
        expert=widest((".ffn_down_exps.weight",), 0),
        experts_used=max(keys.numbers("expert_used_count") or [0]),
        shared=widest((".ffn_down_shexp.weight",), 0),
        heads=heads,
        head_k=keys.integer("attention.key_length", default),
        head_v=keys.integer("attention.value_length", default),
        query=widest((".attn_output.weight",), 0),
        latent=keys.integer("attention.kv_lora_rank") if _is_mla(keys) else 0,
        recurrent_in=widest((".ssm_in.weight", ".shortconv.in_proj.weight"), 1),
        recurrent_conv=widest((".ssm_conv1d.weight",), 1),
    )
