"""LoRA adapters for tests: random matrices for some tensors of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gguf
import numpy as np

from registry.scan.files import read_headers

if TYPE_CHECKING:
    from pathlib import Path

RANK = 4
ALPHA = 8.0


def write_adapter(
    path: Path,
    model: Path,
    *,
    seed: int = 1,
    strength: float = 0.02,
    suffixes: tuple[str, ...] = ("attn_q.weight", "attn_v.weight"),
) -> Path:
    """Write an adapter for a model's tensors of these names; another for each seed."""
    (header,) = read_headers([model])
    writer = gguf.GGUFWriter(path, header.text("general.architecture"))
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    rng = np.random.default_rng(seed)
    for tensor in header.tensors:
        if tensor.name.endswith(suffixes):
            inner, outer = tensor.shape[:2]
            a = strength * rng.standard_normal((RANK, inner), np.float32)
            b = rng.standard_normal((outer, RANK), np.float32)
            writer.add_tensor(f"{tensor.name}.lora_a", a)
            writer.add_tensor(f"{tensor.name}.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
