"""Reports llama.cpp's view of this machine: GPUs, and types that the CPU repacks.

``python -m inference.engine.llama.hardware`` prints it as JSON, for a process that
must not import llama.cpp itself.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from typing import Any

import llama_cpp
from llama_cpp._ggml import libggml

from inference.engine.llama.bindings.cpu import has_broken_amx
from inference.engine.llama.bindings.rpc import CPU, local_devices, local_gpus

#: The types that ggml_repack_get_optimal_repack_type repacks, by processor features.
_REPACKS: tuple[tuple[frozenset[str], tuple[str, ...]], ...] = (
    (frozenset({"AVX2"}), ("IQ4_NL", "MXFP4", "Q4_0", "Q4_K")),
    (frozenset({"AVX512"}), ("Q2_K",)),
    (
        frozenset({"NEON", "DOTPROD"}),
        ("IQ4_NL", "MXFP4", "Q1_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0"),
    ),
)


def gpus() -> list[dict[str, Any]]:
    """Return the GPUs that llama.cpp would use, in its order; sizes in bytes."""
    return [_gpu(device) for device in local_gpus()]


def cpu() -> str:
    """Return the processor's name, or "" if llama.cpp does not know it."""
    for device in local_devices(CPU):
        return _text(device, "description")
    return ""


def _text(device: ctypes.c_void_p, what: str) -> str:
    read = getattr(libggml, f"ggml_backend_dev_{what}")
    read.restype = ctypes.c_char_p
    return str(read(device).decode())


def _gpu(device: ctypes.c_void_p) -> dict[str, Any]:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    libggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
    return {
        "name": _text(device, "name"),
        "description": _text(device, "description"),
        "total": total.value,
        "free": free.value,
    }


def repacked_types(system_info: str) -> list[str]:
    """Return the tensor types that llama.cpp repacks, from its system info."""
    features = set(re.findall(r"(\w+) = 1", system_info))
    if "REPACK" not in features:
        return []
    return sorted(
        {name for needed, names in _REPACKS if needed <= features for name in names}
    )


def main() -> None:
    """Print the result as JSON."""
    llama_cpp.llama_backend_init()
    info = llama_cpp.llama_print_system_info().decode()
    repacks = [] if has_broken_amx() else repacked_types(info)
    json.dump({"gpus": gpus(), "repacks": repacks, "cpu": cpu()}, sys.stdout)


if __name__ == "__main__":
    main()
