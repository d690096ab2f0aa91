"""Ends a child process with its parent, even if that is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec a child of threads may not load anything.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Let the system send this process a signal when its parent is gone.

    ``parent`` is the parent's process id: if it is gone already, this one exits. On
    Linux the signal comes when the thread ends that started this process; on other
    systems it never comes.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)
