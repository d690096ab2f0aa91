"""What glibc's allocator does with memory that is free; nothing on other systems."""

from __future__ import annotations

import ctypes
import sys

#: Of glibc's <malloc.h>.
_M_MMAP_THRESHOLD = -3
#: Blocks from here on go back to the system when they are freed. glibc begins with
#: 128 KiB and raises it with each such block that is freed, up to 32 MiB; then a large
#: body would stay in the heap, below smaller blocks that are in use.
_LARGE_BYTES = 1024 * 1024


def return_large_blocks() -> None:
    """Let large blocks go back to the system when they are freed, from now on."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def return_free_memory() -> None:
    """Give free pages back to the system; takes some milliseconds, without the GIL."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
