"""Memory of the host that ggml takes: in huge pages, and cells as they are used.

Weights and what a step computes with are read from one end to the other in each step.
In pages of 4 KiB the processor looks up an address every 64 cache lines, which in a
virtual machine takes as long as several reads of memory. So large buffers ask the
system for pages of 2 MiB (docs/adr/0045).

KV cells do not. llama.cpp allocates those of all sequences at once and fills them with
zeros, so all of them are resident before a request has come. But the system hands out
zeros, too: to give pages back *is* to fill them with zeros. So the buffers of a context
get a ``clear`` of ours, which does that on Linux. Cells then take memory when they are
first written, and ``llama_memory_clear`` with its data returns it (docs/adr/0036).

ggml has no public way to do either. What is used here is its private table of a
buffer's functions (ggml-backend-impl.h); a buffer that does not look like that is left
as it is.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from llama_cpp import _ggml

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1024 * 1024
#: The size of a huge page, where the others have 4 KiB.
_HUGE_PAGE_BYTES = 2 * _MIB
#: glibc maps allocations of this size apart from its heap, so that whole pages of zeros
#: can be given back (M_MMAP_THRESHOLD_MAX of malloc/malloc.c).
_LEAST_CLEARED_BYTES = 32 * _MIB
#: Of madvise(2), by the numbers of all of Linux' processors that llama.cpp runs on.
_DONTNEED, _HUGEPAGE, _NOHUGEPAGE = 4, 14, 15

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


class _Thread(threading.local):
    #: Whether buffers that this thread allocates are those of a context.
    makes_context = False


_thread = _Thread()


def use_huge_pages() -> None:
    """Ask for huge pages for all large buffers of processors from now on.

    Without effect but on Linux, and where its transparent huge pages are off.
    """
    if sys.platform == "linux":
        _replaced_alloc()


@contextmanager
def cells_as_used() -> Iterator[None]:
    """Let the KV cells that this thread allocates in the block take memory as needed.

    Those of processors; a GPU's memory is all taken at once.
    """
    use_huge_pages()
    before, _thread.makes_context = _thread.makes_context, True
    try:
        yield
    finally:
        _thread.makes_context = before


@cache
def _replaced_alloc() -> Any:
    """Put ours before ggml's own function, for good; return what must stay alive."""
    get = _ggml_library.ggml_backend_cpu_buffer_type
    get.restype = _VOID
    table = _BufferType.from_address(get())
    own = _ALLOC(table.alloc_buffer)

    def alloc(buft: int, size: int) -> int | None:
        allocated: int | None = own(buft, size)
        if allocated and size >= _HUGE_PAGE_BYTES:
            buffer = _Buffer.from_address(allocated)
            if (buffer.buft, buffer.size) == (buft, size):
                _advise(allocated, _HUGEPAGE)
                if _thread.makes_context and size >= _LEAST_CLEARED_BYTES:
                    buffer.clear = ctypes.cast(_clear, _VOID).value
        return allocated

    callback = _ALLOC(alloc)
    table.alloc_buffer = ctypes.cast(callback, _VOID).value
    return callback


def _clear_buffer(address: int, value: int) -> None:
    """Fill a buffer with a byte: with zeros by giving its pages back.

    Only what keeps something between steps is cleared: KV cells. In huge pages the
    first cell of a sequence would take the memory of hundreds.
    """
    _advise(address, _NOHUGEPAGE)
    base, first, end, size = _place(address)
    if value or not _advise(address, _DONTNEED):
        # Locked pages, for example, cannot be given back.
        ctypes.memset(base, value, size)
        return
    ctypes.memset(base, 0, first - base)
    ctypes.memset(end, 0, base + size - end)


def _advise(address: int, advice: int) -> bool:
    """Say something of the whole pages of a buffer; return whether it was taken."""
    _, first, end, _ = _place(address)
    failed: int = _libc.madvise(first, end - first, advice)
    return not failed


def _place(address: int) -> tuple[int, int, int, int]:
    """Return where a buffer and its first whole page begin, and where that end; size.

    All in bytes.
    """
    get_base = _ggml_library.ggml_backend_buffer_get_base
    get_base.argtypes, get_base.restype = (_VOID,), _VOID
    base, size = get_base(address), _Buffer.from_address(address).size
    first = -(-base // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (base + size) // mmap.PAGESIZE * mmap.PAGESIZE
    return base, first, end, size


#: Kept for as long as any buffer may call it.
_clear = _CLEAR(_clear_buffer)
