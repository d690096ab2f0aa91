"""How long a thread waits for a processor on which others compute."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

#: Linux lets what computes go on for some milliseconds before it asks who else wants
#: the processor, and a request goes from process to process some ten times. Who asks
#: for short slices has them soon; all in all it gets as much time as before.
#: `man sched_setattr`, and `sched_runtime` in Linux's Documentation/scheduler/
#: sched-eevdf.rst. Linux before 6.12 does not heed it.
_SLICE_NS = 300_000
#: The number of the system call, which the C library has no function for.
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
#: Threads and processes that it starts, such as those that compute, are as others.
_RESET_ON_FORK = 0x01
_ATTRIBUTES = struct.Struct("IIQiIQQQ")


def run_soon(pid: int = 0) -> bool:
    """Let a thread that waits much have a processor soon; return whether it does.

    ``pid`` is that of a process, whose main thread it is; 0 is the calling thread. Its
    niceness stays. One with a real-time or an idle policy is left alone.
    """
    call = _SCHED_SETATTR.get(platform.machine())
    if not sys.platform.startswith("linux") or call is None:
        return False
    try:
        if os.sched_getscheduler(pid) != os.SCHED_OTHER:
            return False
        niceness = os.getpriority(os.PRIO_PROCESS, pid)
    except ProcessLookupError:
        return False
    attributes = _ATTRIBUTES.pack(
        *(_ATTRIBUTES.size, os.SCHED_OTHER, _RESET_ON_FORK, niceness),
        *(0, _SLICE_NS, 0, 0),
    )
    result: int = ctypes.CDLL(None).syscall(call, pid, attributes, 0)
    return result == 0
