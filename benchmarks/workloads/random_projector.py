"""A projector of a real shape with random weights: as slow as a real one.

It sees with a ViT-B/16, as LLaVA does, and hears with the encoder of Whisper base, as
Ultravox does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gguf
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: How many of the encoder's places become one token: 150 of 30 s.
_STACKED = 10
_MELS = 80
#: Tokens of 30 s before that.
_SOUND_PLACES = 1500


@dataclass(frozen=True, slots=True)
class _Encoder:
    """The sizes of an encoder, and the letter that its tensors begin with."""

    kind: str
    letter: str
    layers: int
    width: int
    heads: int

    @property
    def feed_forward(self) -> int:
        return 4 * self.width


_SEES = _Encoder("vision", "v", layers=12, width=768, heads=12)
_SIDE, _PATCH = 224, 16
_HEARS = _Encoder("audio", "a", layers=6, width=512, heads=8)


def write_random_projector(file: Path, text_width: int) -> None:
    """Write a projector for models of this width; always the same one."""
    writer = gguf.GGUFWriter(file, "clip")
    writer.add_type("mmproj")
    writer.add_bool("clip.use_gelu", val=True)
    weights = _Weights(writer)
    for encoder, projector in ((_SEES, "mlp"), (_HEARS, "ultravox")):
        key = f"clip.{encoder.kind}"
        writer.add_bool(f"clip.has_{encoder.kind}_encoder", val=True)
        writer.add_string(f"{key}.projector_type", projector)
        writer.add_float32(f"{key}.attention.layer_norm_epsilon", 1e-5)
        writer.add_uint32(f"{key}.embedding_length", encoder.width)
        writer.add_uint32(f"{key}.feed_forward_length", encoder.feed_forward)
        writer.add_uint32(f"{key}.block_count", encoder.layers)
        writer.add_uint32(f"{key}.attention.head_count", encoder.heads)
        writer.add_uint32(f"{key}.projection_dim", text_width)
        _add_layers(weights, encoder)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    writer.add_uint32("clip.vision.image_size", _SIDE)
    writer.add_uint32("clip.vision.patch_size", _PATCH)
    writer.add_uint32("clip.audio.num_mel_bins", _MELS)
    writer.add_uint32("clip.audio.projector.stack_factor", _STACKED)
    _add_ends(weights, text_width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class _Weights:
    """Adds tensors; those of the same shape share their random numbers."""

    def __init__(self, writer: gguf.GGUFWriter) -> None:
        self._writer = writer
        self._rng = np.random.default_rng(1)
        self._known: dict[tuple[int, ...], NDArray[np.float16]] = {}

    def matrix(self, name: str, *shape: int) -> None:
        """Add one whose rows have ``shape[0]`` numbers, as llama.cpp counts."""
        if shape not in self._known:
            values = self._rng.standard_normal(shape[::-1], np.float32)
            values /= np.sqrt(np.prod(shape[:-1]))
            self._known[shape] = values.astype(np.float16)
        self._writer.add_tensor(f"{name}.weight", self._known[shape])

    def norm(self, name: str, width: int, *, bias: bool = True) -> None:
        """Add a norm that changes nothing."""
        self._writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
        if bias:
            self.bias(name, width)

    def bias(self, name: str, *shape: int) -> None:
        """Add a bias of zeros."""
        self._writer.add_tensor(f"{name}.bias", np.zeros(shape[::-1], np.float32))

    def places(self, name: str, width: int, count: int) -> None:
        """Add what is added to each place."""
        values = self._rng.standard_normal((count, width), np.float32)
        self._writer.add_tensor(f"{name}.weight", values)


def _add_layers(weights: _Weights, encoder: _Encoder) -> None:
    width, wide = encoder.width, encoder.feed_forward
    for number in range(encoder.layers):
        block = f"{encoder.letter}.blk.{number}"
        for name in ("ln1", "ln2"):
            weights.norm(f"{block}.{name}", width)
        for name in ("q", "k", "v", "out"):
            weights.matrix(f"{block}.attn_{name}", width, width)
            # Whisper's keys have none.
            if name != "k" or encoder is not _HEARS:
                weights.bias(f"{block}.attn_{name}", width)
        weights.matrix(f"{block}.ffn_up", width, wide)
        weights.bias(f"{block}.ffn_up", wide)
        weights.matrix(f"{block}.ffn_down", wide, width)
        weights.bias(f"{block}.ffn_down", width)


def _add_ends(weights: _Weights, text_width: int) -> None:
    """Add what comes before and after the layers."""
    width = _SEES.width
    weights.matrix("v.patch_embd", _PATCH, _PATCH, 3, width)
    weights.places("v.position_embd", width, (_SIDE // _PATCH) ** 2)
    weights.norm("v.pre_ln", width)
    weights.matrix("mm.0", width, text_width)
    weights.bias("mm.0", text_width)
    weights.matrix("mm.2", text_width, text_width)
    weights.bias("mm.2", text_width)
    width = _HEARS.width
    weights.matrix("a.conv1d.1", 3, _MELS, width)
    weights.bias("a.conv1d.1", 1, width)
    weights.matrix("a.conv1d.2", 3, width, width)
    weights.bias("a.conv1d.2", 1, width)
    weights.places("a.position_embd", width, _SOUND_PLACES)
    weights.norm("a.post_ln", width)
    weights.norm("mm.a.norm_pre", _STACKED * width, bias=False)
    weights.norm("mm.a.norm_mid", width, bias=False)
    weights.matrix("mm.a.mlp.1", _STACKED * width, 2 * width)
    weights.matrix("mm.a.mlp.2", width, text_width)
