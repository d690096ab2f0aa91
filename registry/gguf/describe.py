"""Describes a model from its headers. Pure: no files, no database, no Django.

Only the header decides, never words in the name: a name can say "chat" or
"embedding" about a file that can do neither.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from registry.errors import InvalidGGUF
from registry.gguf.architecture_keys import ArchitectureKeys
from registry.gguf.architectures import part_kind
from registry.gguf.header import SkippedValue
from registry.gguf.infill import supports_infill
from registry.gguf.lora import lora_alpha, lora_rank
from registry.gguf.memory_shape import memory_shape
from registry.gguf.quantization import TENSOR_TYPES, file_type_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from registry.gguf.header import GGUFHeader, TensorInfo, Value

#: Raised when more is read from a header: files of older rows are then read again.
VERSION = 4

Kind = Literal[
    "chat",
    "completion",
    "embedding",
    "reranker",
    "projector",
    "lora",
    "draft_head",
    "voice",
    "unsupported",
]

#: Longest string in the metadata, in characters; some headers contain whole licences
#: and model cards.
MAX_METADATA_STRING = 4096
#: Most metadata of one model, in characters of JSON.
MAX_METADATA_SIZE = 256 * 1024
#: The database's largest integers.
MAX_INTEGER = 2**31 - 1
MAX_BIG_INTEGER = 2**63 - 1

#: llama.cpp's enum llama_pooling_type.
POOLING = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}

# Architectures that only encode, even if the header states no pooling.
_ENCODERS = {
    "bert",
    "eurobert",
    "gemma-embedding",
    "jina-bert-v2",
    "jina-bert-v3",
    "llama-embed",
    "modern-bert",
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "t5encoder",
}
_TEMPLATE = "tokenizer.chat_template"
# Strings and blocks of Jinja. The possessive ``*+`` never backtracks, and an
# unterminated string extends to the end, so the search is linear in the length of
# any template.
_STRING = re.compile(
    r"""'(?:[^'\\]|\\.)*+(?:'|\\?\Z)|"(?:[^"\\]|\\.)*+(?:"|\\?\Z)""", re.DOTALL
)
_CODE = re.compile(rf"\{{[{{%]((?:{_STRING.pattern}|(?![%}}]\}}).)*+)", re.DOTALL)
_TOOLS = re.compile(r"(?<![\w.])tools\b")
_NOT_A_MODEL = {
    "imatrix": "an importance matrix, not a model",
    "controlvector": "a control vector, not a model",
}


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model's columns, named as in ``registry.models.Model``.

    None and "" mean that the header does not state it.
    """

    kind: Kind
    architecture: str
    title: str = ""
    size_label: str = ""
    parameter_count: int | None = None
    quantization: str = ""
    context_length: int | None = None
    block_count: int | None = None
    embedding_length: int | None = None
    head_count: int | None = None
    head_count_kv: int | None = None
    kv_elements_per_token: int | None = None
    vocab_size: int | None = None
    tokenizer: str = ""
    pooling: str = ""
    sliding_window: int | None = None
    expert_count: int | None = None
    license: str = ""
    supports_tools: bool = False
    supports_infill: bool = False
    chat_template: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    memory_shape: dict[str, Any] | None = None
    lora_rank: int | None = None
    lora_alpha: float | None = None


def describe(headers: Sequence[GGUFHeader]) -> ModelDescription:
    """Return the description of the model with these headers, one per shard.

    The first shard has the keys, every shard has tensors. Raises InvalidGGUF if it is
    no language model, adapter or projector.
    """
    header = headers[0]
    tensors = [tensor for each in headers for tensor in each.tensors]
    architecture = clean_text(header.text("general.architecture"), 64)
    kind = _kind(header, tensors, architecture)
    keys = ArchitectureKeys(header, architecture)
    shape = memory_shape(headers, architecture)
    template = clean_text(header.text(_TEMPLATE))
    rank = lora_rank(tensors)
    return ModelDescription(
        kind=kind,
        architecture=architecture,
        title=clean_text(header.text("general.name"), 255),
        size_label=clean_text(header.text("general.size_label"), 64),
        parameter_count=_parameter_count(header, tensors),
        quantization=_quantization(header, tensors),
        context_length=_largest(keys.numbers("context_length")),
        block_count=_largest(keys.numbers("block_count")),
        embedding_length=_largest(keys.numbers("embedding_length")),
        head_count=_largest(keys.numbers("attention.head_count")),
        head_count_kv=_largest(keys.heads_kv()),
        kv_elements_per_token=_column(shape.kv_elements_per_token) if shape else None,
        vocab_size=_vocab_size(header, keys, tensors),
        tokenizer=_tokenizer(header),
        pooling=POOLING.get(keys.integer("pooling_type", -1), ""),
        sliding_window=_largest(keys.numbers("attention.sliding_window")),
        expert_count=_largest(keys.numbers("expert_count")),
        license=clean_text(header.text("general.license"), 255),
        supports_tools=any(
            names_tools(text) for text in (template, *_named_templates(header).values())
        ),
        supports_infill=supports_infill(header.fields, header.known_tokens),
        chat_template=template,
        metadata=_metadata(header, architecture),
        memory_shape=shape.as_json() if shape else None,
        lora_rank=_column(rank) if rank else None,
        lora_alpha=lora_alpha(header),
    )


def clean_text(text: str, limit: int | None = None) -> str:
    """Return text that every database accepts, at most ``limit`` characters."""
    # PostgreSQL stores no NUL, neither in text nor in JSON.
    return text.replace("\0", "")[:limit]


def names_tools(template: str) -> bool:
    """Return whether a chat template reads the variable ``tools``.

    A word in the template's plain text or in a string is no variable. The template is
    searched, not parsed: it comes from the file's author, and a hostile one could
    keep a Jinja parser busy for ever.
    """
    return any(
        _TOOLS.search(_STRING.sub("''", code)) for code in _CODE.findall(template)
    )


def _largest(numbers: Sequence[int] | None) -> int | None:
    return _column(max(numbers)) if numbers else None


def _column(number: int, maximum: int = MAX_INTEGER) -> int | None:
    return number if 0 <= number <= maximum else None


def _kind(header: GGUFHeader, tensors: Sequence[TensorInfo], architecture: str) -> Kind:
    stated = header.text("general.type")
    if stated == "mmproj" or architecture == "clip":
        return "projector"
    if stated == "adapter" or header.text("adapter.type") == "lora":
        return "lora"
    if stated in _NOT_A_MODEL or architecture in _NOT_A_MODEL:
        raise InvalidGGUF(_NOT_A_MODEL.get(stated) or _NOT_A_MODEL[architecture])
    if not architecture:
        raise InvalidGGUF("the header states no architecture")
    part = part_kind(architecture)
    # A part of a model may have no tokenizer.
    if part in ("draft_head", "voice"):
        return part
    if "tokenizer.ggml.model" not in header.fields:
        raise InvalidGGUF(
            f"not a language model: the architecture is {architecture[:32]!r} "
            "and there is no tokenizer"
        )
    if not tensors:
        raise InvalidGGUF("a vocabulary without a model: it has no tensors")
    return part or _model_kind(header, architecture)


def _model_kind(header: GGUFHeader, architecture: str) -> Kind:
    keys = ArchitectureKeys(header, architecture)
    pooling = POOLING.get(keys.integer("pooling_type"), "none")
    if pooling == "rank" or keys.get("classifier.output_labels") is not None:
        return "reranker"
    is_causal = keys.get("attention.causal") is not False
    if pooling != "none" or architecture in _ENCODERS or not is_causal:
        return "embedding"
    has_template = header.text(_TEMPLATE) or _named_templates(header)
    return "chat" if has_template else "completion"


def _parameter_count(header: GGUFHeader, tensors: Iterable[TensorInfo]) -> int | None:
    stated = header.integer("general.parameter_count")
    if stated is not None and stated > 0:
        return _column(stated, MAX_BIG_INTEGER)
    return _column(sum(tensor.elements for tensor in tensors), MAX_BIG_INTEGER)


def _quantization(header: GGUFHeader, tensors: Iterable[TensorInfo]) -> str:
    """Return the file type's name, else the type of most weights."""
    stated = header.integer("general.file_type")
    name = file_type_name(stated) if stated is not None else ""
    if name:
        return name
    weights: Counter[int] = Counter()
    for tensor in tensors:
        # Norms and biases keep full precision in every quantisation.
        weights[tensor.type] += tensor.elements if len(tensor.shape) > 1 else 0
    return TENSOR_TYPES[weights.most_common(1)[0][0]].name if weights else ""


def _vocab_size(
    header: GGUFHeader, keys: ArchitectureKeys, tensors: Iterable[TensorInfo]
) -> int | None:
    tokens = header.fields.get("tokenizer.ggml.tokens")
    if isinstance(tokens, SkippedValue):
        return _column(tokens.count)
    if isinstance(tokens, tuple):
        return len(tokens)
    stated = _largest(keys.numbers("vocab_size"))
    if stated is not None:
        return stated
    for tensor in tensors:
        if tensor.name == "token_embd.weight" and len(tensor.shape) == 2:
            return _column(tensor.shape[1])
    return None


def _tokenizer(header: GGUFHeader) -> str:
    model = header.text("tokenizer.ggml.model")
    pre = header.text("tokenizer.ggml.pre")
    return clean_text(f"{model}/{pre}" if pre else model, 64)


def _named_templates(header: GGUFHeader) -> dict[str, str]:
    """Return the templates other than the default: ``….chat_template.tool_use``."""
    return {
        clean_text(key): clean_text(value)
        for key, value in header.fields.items()
        if key.startswith(f"{_TEMPLATE}.") and isinstance(value, str)
    }


def _metadata(header: GGUFHeader, architecture: str) -> dict[str, Any]:
    """Return the keys without a column, as JSON, within ``MAX_METADATA_SIZE``.

    What other code reads comes first: templates, in full or not at all, since half a
    template is wrong. The rest follows in the header's order. ``omitted`` counts
    what did not fit.
    """
    first: dict[str, Any] = {
        f"{name}_token": clean_text(text) for name, text in header.token_texts.items()
    }
    first |= _named_templates(header)
    rest = {
        clean_text(key): _json_value(value)
        for key, value in header.fields.items()
        if not _has_column(key, value, architecture)
        and not key.startswith(_TEMPLATE)
        and not isinstance(value, SkippedValue)
    }
    return _within_budget(
        first | {key: value for key, value in rest.items() if key not in first}
    )


def _within_budget(values: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    omitted = 0
    budget = MAX_METADATA_SIZE
    for key, value in values.items():
        size = len(key) + len(json.dumps(value))
        if size <= budget:
            kept[key] = value
            budget -= size
        else:
            omitted += 1
    return kept | ({"omitted": omitted} if omitted else {})


def _has_column(key: str, value: Value, architecture: str) -> bool:
    """Return whether a column holds this key's value."""
    if isinstance(value, tuple):
        return False
    return key in {
        "general.architecture",
        "general.name",
        "general.size_label",
        "general.license",
        "tokenizer.ggml.model",
        "tokenizer.ggml.pre",
        f"{architecture}.context_length",
        f"{architecture}.block_count",
        f"{architecture}.embedding_length",
        f"{architecture}.attention.head_count",
        f"{architecture}.attention.head_count_kv",
        f"{architecture}.attention.sliding_window",
        f"{architecture}.expert_count",
    }


def _json_value(value: Value) -> Any:
    if isinstance(value, str):
        return clean_text(value, MAX_METADATA_STRING)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, tuple):
        return [_json_value(item) for item in value]
    return value
