"""The log in files: everything that goes to standard error goes there, too.

Standard error is one descriptor of the launcher and of all its children, so what
llm-manager logs, what llama.cpp prints and what Python says of a crash all pass here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import sys
import threading
from logging import LogRecord
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

from llm_manager.lib.log.json_lines import as_members, foreign_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MIB = 1024 * 1024
_STDERR = 2
_PIPE_BYTES = 1 * _MIB
_END_TIMEOUT_S = 3.0
#: Lines that wait for a terminal that stands still; it misses those after them.
_TERMINAL_LINES = 1000
LOG_NAME = "llm-manager.log"


@contextlib.contextmanager
def log_kept(
    folder: Path | None, *, max_mb: int = 1, files: int = 2, as_json: bool = False
) -> Iterator[None]:
    """Copy standard error into a file of the folder meanwhile, also the children's.

    ``files`` of ``max_mb`` MiB are kept; without a folder none. With ``as_json`` a line
    that is no object of the log becomes one, as llama.cpp's do.

    Raises OSError if the folder cannot be used.
    """
    handler = None if folder is None else _open(folder, max_mb=max_mb, files=files)
    reader, writer = os.pipe()
    # While the launcher stands still, children lose lines instead of waiting for it.
    os.set_blocking(writer, False)
    with contextlib.suppress(OSError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    terminal = os.dup(_STDERR)
    sys.stderr.flush()
    os.dup2(writer, _STDERR)
    os.close(writer)
    copier = threading.Thread(
        target=_copy,
        args=(reader, terminal, handler),
        kwargs={"as_json": as_json},
        daemon=True,
    )
    copier.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, _STDERR)
        # It ends with the last process that can write, which is gone in most cases.
        copier.join(_END_TIMEOUT_S)


def _open(folder: Path, *, max_mb: int, files: int) -> _Lines:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _Lines(
        folder / LOG_NAME,
        maxBytes=max_mb * _MIB,
        backupCount=files - 1,
        encoding="utf-8",
        errors="replace",
    )


def _copy(reader: int, terminal: int, handler: _Lines | None, *, as_json: bool) -> None:
    """Copy lines until nobody can write any more."""
    screen = _Terminal(terminal, as_json=as_json)
    with os.fdopen(reader, "rb") as lines:
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip("\n")
            if as_json and as_members(text) is None:
                text = foreign_line(text)
                line = f"{text}\n".encode()
            if handler is not None:
                handler.put(text)
            screen.put(line)
    if handler is not None:
        # On a full disk the last lines cannot be written here either.
        with contextlib.suppress(OSError):
            handler.close()
    screen.end()


class _Terminal:
    """Standard error as it was. It may be gone or stand still, as by Ctrl-S.

    A thread of its own writes, so that only the terminal misses lines then: whether a
    write would wait cannot be known before it.
    """

    def __init__(self, descriptor: int, *, as_json: bool) -> None:
        self._descriptor = descriptor
        self._as_json = as_json
        self._lines: queue.Queue[bytes | None] = queue.Queue(_TERMINAL_LINES)
        self._missed = 0
        self._writer = threading.Thread(target=self._write_all, daemon=True)
        self._writer.start()

    def put(self, line: bytes) -> None:
        """Write a line, after the number of those that were left out before it."""
        try:
            self._lines.put_nowait(self._note() + line)
            self._missed = 0
        except queue.Full:
            self._missed += 1

    def end(self) -> None:
        """Write what is left, as soon as the terminal takes it."""
        self._lines.put(self._note())
        self._lines.put(None)
        self._writer.join()

    def _note(self) -> bytes:
        if not self._missed:
            return b""
        note = f"(Lines that only the log's file has: {self._missed})"
        return f"{foreign_line(note) if self._as_json else note}\n".encode()

    def _write_all(self) -> None:
        while (data := self._lines.get()) is not None:
            # The terminal may be gone; that is no reason to stop.
            with contextlib.suppress(OSError):
                while data:
                    data = data[os.write(self._descriptor, data) :]


class _Lines(RotatingFileHandler):
    """A rotating file of lines. A full disk loses lines, and stops nothing."""

    def put(self, line: str) -> None:
        """Write a line."""
        self.handle(LogRecord("", 0, "", 0, line, None, None))

    def handleError(self, record: LogRecord) -> None:  # noqa: N802
        """Leave the line out: standard error has it."""
