"""Keeps llama.cpp's log for error messages."""

from __future__ import annotations

import ctypes
from collections import deque
from typing import Any, ClassVar

import llama_cpp

_LOG_WARN = 3
_LOG_CONT = 5
#: How many lines of llama.cpp's log an error may quote.
_LOG_LINES = 6


class LlamaLog:
    """Keeps the newest warnings and errors of llama.cpp, for error messages."""

    _installed: ClassVar[LlamaLog | None] = None

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_LOG_LINES)
        self._keeping = False
        # Without a reference ctypes frees the callback, and C would call freed memory.
        self._callback = llama_cpp.llama_log_callback(self._take)

    def install(self) -> None:
        """Take over llama.cpp's log, of which there is one per process."""
        # C calls it until another one is installed, whichever instance made it.
        LlamaLog._installed = self
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def install_for(self, mtmd: Any) -> None:
        """Take over the log of mtmd as well, whose bindings are given."""
        mtmd.mtmd_log_set(self._callback, ctypes.c_void_p(0))

    def _take(self, level: int, text: bytes, _data: object) -> None:
        if level != _LOG_CONT:
            self._keeping = level >= _LOG_WARN
        line = text.decode("utf-8", "replace").strip()
        if self._keeping and line:
            self._lines.append(line)

    def tail(self) -> str:
        """Return the kept lines, oldest first."""
        return "\n".join(self._lines)
