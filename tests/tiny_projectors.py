"""Projectors for tests: a few narrow layers, random weights, beside a tiny model.

They see and hear nothing that means anything, but each pixel and each sample counts.
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
#: Tensors that are near 1, as trained ones are.
_NORMS = (
    *("ln.weight", "ln1.weight", "ln2.weight", "norm.weight"),
    *("norm_pre.weight", "norm_mid.weight"),
)
_PATCH_SHAPE = (_PATCH, _PATCH, 3, _WIDTH)
_POST: Shapes = {"v.post_ln.weight": (_WIDTH,), "v.post_ln.bias": (_WIDTH,)}
_MERGED = 4 * _WIDTH


@dataclass(frozen=True)
class _Kind:
    """A projector, by llama.cpp's name, and the kind of tiny model that it is for.

    One of sounds has ``sound_shapes``. Without a ``projector`` it has nothing else.
    """

    projector: str
    model: str
    shapes: Shapes
    settings: Mapping[str, Any] = field(default_factory=dict)
    sound_projector: str = ""
    sound_shapes: Shapes = field(default_factory=dict)


# Each token of an image sees all the others.
_SEEN_AT_ONCE: Shapes = {
    "v.patch_embd.weight": _PATCH_SHAPE,
    "v.patch_embd.bias": (_WIDTH,),
    "v.position_embd.weight": (_WIDTH, _PATCHES),
    **_POST,
    "mm.input_projection.weight": (_TEXT, _WIDTH),
    "mm.soft_emb_norm.weight": (_WIDTH,),
}
_WITH_ROWS: Shapes = {
    "v.patch_embd.weight": _PATCH_SHAPE,
    "v.patch_embd.weight.1": _PATCH_SHAPE,
    **_POST,
    "mm.0.weight": (_MERGED, _MERGED),
    "mm.0.bias": (_MERGED,),
    "mm.2.weight": (_MERGED, _TEXT),
    "mm.2.bias": (_TEXT,),
}
# Of 30 s of sound, the piece that Whisper's encoder reads, there are 3,000 spectra, and
# half as many tokens before some become one.
_MELS, _TOKENS_OF_PIECE = 8, 1500
_STACKED = 30
_SOUND: Shapes = {
    "a.conv1d.1.weight": (3, _MELS, _WIDTH),
    "a.conv1d.1.bias": (1, _WIDTH),
    "a.conv1d.2.weight": (3, _WIDTH, _WIDTH),
    "a.conv1d.2.bias": (1, _WIDTH),
    "a.position_embd.weight": (_WIDTH, _TOKENS_OF_PIECE),
    "a.post_ln.weight": (_WIDTH,),
    "a.post_ln.bias": (_WIDTH,),
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
        "qwen2vl_merger", "positions in three dimensions", _WITH_ROWS
    ),
}
#: Those that read sounds.
SOUND_KINDS: dict[str, _Kind] = {
    "ultravox": _Kind(
        "",
        "llama",
        {},
        {"clip.audio.projector.stack_factor": _STACKED},
        "ultravox",
        {
            **_SOUND,
            "mm.a.norm_pre.weight": (_STACKED * _WIDTH,),
            "mm.a.norm_mid.weight": (_WIDTH,),
            "mm.a.mlp.1.weight": (_STACKED * _WIDTH, 2 * _WIDTH),
            "mm.a.mlp.2.weight": (_WIDTH, _TEXT),
        },
    ),
    # It sees, too, as Qwen's omni models do.
    "qwen2a": _Kind(
        "qwen2vl_merger",
        "positions in three dimensions",
        _WITH_ROWS,
        {},
        "qwen2a",
        {**_SOUND, "mm.a.fc.weight": (_WIDTH, _TEXT), "mm.a.fc.bias": (_TEXT,)},
    ),
}


def write_tiny_vision(kind: str, folder: Path) -> tuple[Path, Path]:
    """Write a model and its projector, always the same ones; return their paths."""
    return _write(KINDS[kind], folder)


def write_tiny_hearing(kind: str, folder: Path) -> tuple[Path, Path]:
    """Write a model and its projector of sounds; return their paths."""
    return _write(SOUND_KINDS[kind], folder)


def _write(found: _Kind, folder: Path) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    model, projector = folder / "tiny.gguf", folder / "mmproj-tiny.gguf"
    write_tiny_model(found.model, model, chat_template=_CHAT)
    _write_projector(found, projector)
    return model, projector


def _write_projector(found: _Kind, path: Path) -> None:
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_bool("clip.use_gelu", True)
    writer.add_bool("clip.has_vision_encoder", bool(found.projector))
    writer.add_bool("clip.has_audio_encoder", bool(found.sound_projector))
    settings = dict(found.settings)
    shapes = dict(found.shapes)
    if found.projector:
        key = "vision.projector_type" if found.sound_projector else "projector_type"
        writer.add_string(f"clip.{key}", found.projector)
        writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
        writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
        settings["clip.vision.image_size"] = _SIDE
        settings["clip.vision.patch_size"] = _PATCH
        _add_encoder(writer, "vision", "v", settings, shapes)
    if found.sound_projector:
        key = "audio.projector_type" if found.projector else "projector_type"
        writer.add_string(f"clip.{key}", found.sound_projector)
        settings["clip.audio.num_mel_bins"] = _MELS
        shapes |= found.sound_shapes
        _add_encoder(writer, "audio", "a", settings, shapes)
        for number in range(_LAYERS):
            # As Whisper's encoder.
            del shapes[f"a.blk.{number}.attn_k.bias"]
    for name, value in settings.items():
        writer.add_uint32(name, value)
    rng = np.random.default_rng(2)
    for name, shape in shapes.items():
        values = rng.standard_normal(shape[::-1], np.float32)
        if name.endswith(_NORMS):
            values = 1 + 0.1 * values
        elif len(shape) > 1 and "position" not in name:
            values /= np.sqrt(np.prod(shape[:-1]))
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_encoder(
    writer: gguf.GGUFWriter,
    kind: str,
    prefix: str,
    settings: dict[str, int],
    shapes: Shapes,
) -> None:
    """Add what an encoder's layers have."""
    writer.add_float32(f"clip.{kind}.attention.layer_norm_epsilon", 1e-5)
    settings[f"clip.{kind}.embedding_length"] = _WIDTH
    settings[f"clip.{kind}.feed_forward_length"] = _FEED_FORWARD
    settings[f"clip.{kind}.block_count"] = _LAYERS
    settings[f"clip.{kind}.attention.head_count"] = _HEADS
    settings[f"clip.{kind}.projection_dim"] = _TEXT
    for number in range(_LAYERS):
        for name, shape in _LAYER.items():
            shapes[f"{prefix}.blk.{number}.{name}"] = shape
