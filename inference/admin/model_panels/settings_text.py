"""The load settings of a load or a benchmark, in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.load_settings import QUANTIZED_CACHE_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping


def settings_text(
    settings: Mapping[str, Any], *, n_ctx: int | None, n_seq_max: int | None
) -> str:
    """Return ``4,096 x 8, KV f16, GPU layers 99``; what is not known is left out."""
    parts = []
    if n_ctx:
        parts.append(f"{n_ctx:,} \u00d7 {n_seq_max or 1}")
    keys, values = settings.get("cache_type_k"), settings.get("cache_type_v")
    if keys:
        # Without a quantized K, "auto" makes V of the same type.
        is_same = values == "auto" and keys not in QUANTIZED_CACHE_TYPES
        is_one = is_same or values == keys
        parts.append(f"KV {keys}" if is_one else f"K {keys}, V {values}")
    # -1 is as many as fit.
    layers = settings.get("n_gpu_layers") or 0
    if layers > 0:
        parts.append(f"GPU layers {layers}")
    return ", ".join(parts)
