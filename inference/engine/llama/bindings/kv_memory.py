"""A KV cache that takes memory as it is used, and gives it back.

llama.cpp allocates the cells of all sequences at once and fills them with zeros, so all
of them are resident before a request has come. But the system hands out zeros, too: to
give pages back *is* to fill them with zeros. So the buffers of a context get a
``clear`` of ours, which does that on Linux. Cells then take memory when they are first
written, and ``llama_memory_clear`` with its data returns it (docs/adr/0036).

ggml has no public way to replace it. What is used here is its private table of a
buffer's functions (ggml-backend-impl.h); a buffer that does not look like that keeps
its own ``clear``.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llama_cpp import _ggml

if TYPE_CHECKING:
    from collections.abc import Iterator

#: glibc maps allocations of this size apart from its heap, so that whole pages of zeros
#: can be given back (M_MMAP_THRESHOLD_MAX of malloc/malloc.c).
_LEAST_BYTES = 32 * 1024 * 1024
_DONTNEED = 4

_VOID, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_ALLOC = ctypes.CFUNCTYPE(_VOID, _VOID, _SIZE)
_CLEAR = ctypes.CFUNCTYPE(None, _VOID, ctypes.c_uint8)


class _BufferType(ctypes.Structure):
    """The beginning of ``struct ggml_backend_buffer_type``."""

    _fields_ = (("get_name", _VOID), ("alloc_buffer", _VOID))


class _Buffer(ctypes.Structure):
    """``struct ggml_backend_buffer``: its functions, then what they work on."""

    _fields_ = (
        ("before_clear", _VOID * 9),
        ("clear", _VOID),
        ("reset", _VOID),
        ("buft", _VOID),
        ("context", _VOID),
        ("size", _SIZE),
    )


_ggml_library: Any = _ggml.libggml
_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (_VOID, _SIZE, ctypes.c_int)
_lock = threading.Lock()


@contextmanager
def memory_as_used() -> Iterator[None]:
    """Let the buffers that are allocated in the block take memory as it is used.

    Those of processors; a GPU's memory is all taken at once.
    """
    if sys.platform != "linux":
        yield
        return
    get = _ggml_library.ggml_backend_cpu_buffer_type
    get.restype = _VOID
    table = _BufferType.from_address(get())
    # The function that is replaced is ggml's own, never another thread's replacement.
    with _lock:
        own = _ALLOC(table.alloc_buffer)

        def alloc(buft: int, size: int) -> int | None:
            allocated: int | None = own(buft, size)
            if allocated and size >= _LEAST_BYTES:
                buffer = _Buffer.from_address(allocated)
                if (buffer.buft, buffer.size) == (buft, size):
                    buffer.clear = ctypes.cast(_clear, _VOID).value
            return allocated

        # The name keeps the callback alive while C may call it.
        callback = _ALLOC(alloc)
        before = table.alloc_buffer
        table.alloc_buffer = ctypes.cast(callback, _VOID).value
        try:
            yield
        finally:
            table.alloc_buffer = before


def _clear_buffer(address: int, value: int) -> None:
    """Fill a buffer with a byte: with zeros by giving its pages back."""
    get_base = _ggml_library.ggml_backend_buffer_get_base
    get_base.argtypes, get_base.restype = (_VOID,), _VOID
    base, size = get_base(address), _Buffer.from_address(address).size
    first = -(-base // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (base + size) // mmap.PAGESIZE * mmap.PAGESIZE
    if value or _libc.madvise(first, end - first, _DONTNEED):
        # Locked pages, for example, cannot be given back.
        ctypes.memset(base, value, size)
        return
    ctypes.memset(base, 0, first - base)
    ctypes.memset(end, 0, base + size - end)


#: Kept for as long as any buffer may call it.
_clear = _CLEAR(_clear_buffer)
