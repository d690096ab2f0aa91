"""The time slices that Linux gives to a thread."""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

import pytest

_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
_ATTRIBUTES = struct.Struct("IIQiIQQQ")

needs_slices = pytest.mark.skipif(
    sys.platform != "linux"
    or platform.machine() not in _SCHED_GETATTR
    or tuple(map(int, platform.release().split(".")[:2])) < (6, 12),
    reason="Linux before 6.12 has no slices for a thread",
)


def niceness_and_slice(pid: int = 0) -> tuple[int, int]:
    """Return the niceness of a thread, and the nanoseconds of its slices."""
    found = ctypes.create_string_buffer(_ATTRIBUTES.size)
    number = _SCHED_GETATTR[platform.machine()]
    assert ctypes.CDLL(None).syscall(number, pid, found, _ATTRIBUTES.size, 0) == 0
    _, _, _, niceness, _, slice_ns, _, _ = _ATTRIBUTES.unpack(found.raw)
    return niceness, slice_ns
