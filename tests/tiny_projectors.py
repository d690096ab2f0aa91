"""Projectors for tests: a few narrow layers, random weights, beside a tiny model.

They see nothing that means anything, but each pixel counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

from tests.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CHAT = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
#: The width of the tiny models of text.
_TEXT = 64
_WIDTH, _HEADS, _FEED_FORWARD = 32, 2, 64
_SIDE, _PATCH = 32, 8
_PATCHES = (_SIDE // _PATCH) ** 2
_LAYERS = 2

Shapes = dict[str, tuple[int, ...]]

_LAYER: Shapes = {
    **{f"attn_{name}.weight": (_WIDTH, _WIDTH) for name in ("q", "k", "v", "out")},
    **{f"attn_{name}.bias": (_WIDTH,) for name in ("q", "k", "v", "out")},
    **{f"ln{n}.{name}": (_WIDTH,) for n in (1, 2) for name in ("weight", "bias")},
    "ffn_up.weight": (_WIDTH, _FEED_FORWARD),
    "ffn_up.bias": (_FEED_FORWARD,),
    "ffn_down.weight": (_FEED_FORWARD, _WIDTH),
    "ffn_down.bias": (_WIDTH,),
}
_PATCH_SHAPE = (_PATCH, _PATCH, 3, _WIDTH)
_POST: Shapes = {"v.post_ln.weight": (_WIDTH,), "v.post_ln.bias": (_WIDTH,)}
_MERGED = 4 * _WIDTH


@dataclass(frozen=True)
class _Kind:
    """A projector, by llama.cpp's name, and the kind of tiny model that it is for."""

    projector: str
    model: str
    shapes: Shapes
    settings: Mapping[str, Any] = field(default_factory=dict)


# Each token of an image sees all the others.
_SEEN_AT_ONCE: Shapes = {
    "v.patch_embd.weight": _PATCH_SHAPE,
    "v.patch_embd.bias": (_WIDTH,),
    "v.position_embd.weight": (_WIDTH, _PATCHES),
    **_POST,
    "mm.input_projection.weight": (_TEXT, _WIDTH),
    "mm.soft_emb_norm.weight": (_WIDTH,),
}
_NOT_POOLED = {"clip.vision.projector.scale_factor": 1}

KINDS: dict[str, _Kind] = {
    # LLaVA: its images are read as text is, a token after the other.
    "mlp": _Kind(
        "mlp",
        "llama",
        {
            "v.patch_embd.weight": _PATCH_SHAPE,
            "v.position_embd.weight": (_WIDTH, _PATCHES),
            "v.pre_ln.weight": (_WIDTH,),
            "v.pre_ln.bias": (_WIDTH,),
            "mm.0.weight": (_WIDTH, _TEXT),
            "mm.0.bias": (_TEXT,),
            "mm.2.weight": (_TEXT, _TEXT),
            "mm.2.bias": (_TEXT,),
        },
    ),
    "gemma3": _Kind("gemma3", "llama", _SEEN_AT_ONCE, _NOT_POOLED),
    "gemma3 with a window": _Kind(
        "gemma3", "sliding window", _SEEN_AT_ONCE, _NOT_POOLED
    ),
    # A token of an image has a row and a column.
    "qwen2vl_merger": _Kind(
        "qwen2vl_merger",
        "positions in three dimensions",
        {
            "v.patch_embd.weight": _PATCH_SHAPE,
            "v.patch_embd.weight.1": _PATCH_SHAPE,
            **_POST,
            "mm.0.weight": (_MERGED, _MERGED),
            "mm.0.bias": (_MERGED,),
            "mm.2.weight": (_MERGED, _TEXT),
            "mm.2.bias": (_TEXT,),
        },
    ),
}


def write_tiny_vision(kind: str, folder: Path) -> tuple[Path, Path]:
    """Write a model and its projector, always the same ones; return their paths."""
    found = KINDS[kind]
    folder.mkdir(exist_ok=True)
    model, projector = folder / "tiny.gguf", folder / "mmproj-tiny.gguf"
    write_tiny_model(found.model, model, chat_template=_CHAT)
    _write_projector(found, projector)
    return model, projector


def _write_projector(found: _Kind, path: Path) -> None:
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_bool("clip.use_gelu", True)
    writer.add_string("clip.projector_type", found.projector)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    settings = {
        "clip.vision.image_size": _SIDE,
        "clip.vision.patch_size": _PATCH,
        "clip.vision.embedding_length": _WIDTH,
        "clip.vision.feed_forward_length": _FEED_FORWARD,
        "clip.vision.block_count": _LAYERS,
        "clip.vision.attention.head_count": _HEADS,
        "clip.vision.projection_dim": _TEXT,
    }
    for name, value in {**settings, **found.settings}.items():
        writer.add_uint32(name, value)
    shapes = dict(found.shapes)
    for number in range(_LAYERS):
        shapes |= {f"v.blk.{number}.{name}": shape for name, shape in _LAYER.items()}
    rng = np.random.default_rng(2)
    for name, shape in shapes.items():
        values = rng.standard_normal(shape[::-1], np.float32)
        if name.endswith(("ln.weight", "ln1.weight", "ln2.weight", "norm.weight")):
            values = 1 + 0.1 * values
        elif len(shape) > 1 and "position" not in name:
            values /= np.sqrt(np.prod(shape[:-1]))
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
