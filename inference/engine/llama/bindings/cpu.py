"""Detects a bug of this llama.cpp build on this processor."""

from __future__ import annotations

import logging

import llama_cpp

logger = logging.getLogger(__name__)


def has_broken_amx() -> bool:
    """Whether this build would use llama.cpp's AMX kernels, which crash.

    They load their tile configuration from a stack slot that GCC leaves uninitialised,
    and the process dies with SIGSEGV in its first decode (ggml-org/llama.cpp#26954).
    Without the extra buffer types the weights stay with the other kernels: slower, but
    alive.
    """
    if b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info():
        return False
    logger.warning(
        "This llama.cpp is built with AMX, whose kernels crash; its weight "
        "repacking is switched off. Build with -mno-amx-int8 for full speed."
    )
    return True
