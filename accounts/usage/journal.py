"""The journal of a web process: what became of its requests, in files.

What is written is in the kernel's cache, which outlives every process of the machine.
It does not outlive the machine: a power failure costs what the kernel had not written.

A journal is a row of files, the last of which is written to. Whoever has a file's lock
reads it into the database: its process, or any other after that one has died.
"""

from __future__ import annotations

import fcntl
import logging
import os
import uuid
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accounts.usage.journal_line import JournalKind, encode
from accounts.usage.metrics import LINES_LOST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

SUFFIX = ".journal"
#: A file of this size is followed by another one: so much is read again after a kill.
_MAX_FILE_BYTES = 4 * 2**20
#: What is kept in memory while the disk is full.
_MAX_WAITING_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class JournalFile:
    """A locked file of a journal."""

    path: Path
    fd: int

    def close(self) -> None:
        """Give up the lock."""
        os.close(self.fd)

    def remove(self) -> None:
        """Delete it and give up the lock, in this order."""
        self.path.unlink(missing_ok=True)
        os.close(self.fd)


class Journal:
    """Writes the journal of this process. Used by one thread.

    ``retired`` are the files that are complete, the oldest first: another thread reads
    and removes them. A line that cannot be written waits in memory; past 16 MiB the
    oldest one is lost, and counted.
    """

    def __init__(self, folder: Path, *, max_file_bytes: int = _MAX_FILE_BYTES) -> None:
        self._folder = folder
        self._max_file_bytes = max_file_bytes
        self._file: JournalFile | None = None
        self._size = 0
        self._is_torn = False
        self._open: dict[str, dict[str, Any]] = {}
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self.retired: deque[JournalFile] = deque()

    @property
    def current(self) -> JournalFile | None:
        """The file that is written to."""
        return self._file

    def begin(self, id_: str, fields: Mapping[str, Any]) -> None:
        """Note that a request is accepted."""
        line = {"kind": JournalKind.BEGIN, "id": id_, **fields}
        self._open[id_] = line
        self._write(line)

    def end(self, id_: str, fields: Mapping[str, Any]) -> None:
        """Note that an accepted request is over."""
        self._open.pop(id_, None)
        self._write({"kind": JournalKind.END, "id": id_, **fields})

    def whole(self, id_: str, fields: Mapping[str, Any]) -> None:
        """Note a request that is over, and was never accepted."""
        self._write({"kind": JournalKind.WHOLE, "id": id_, **fields})

    def progress(self, counts: Mapping[str, Mapping[str, Any]]) -> None:
        """Note what accepted requests have counted so far, by their ids."""
        for id_, fields in counts.items():
            if id_ in self._open:
                self._open[id_].update(fields)
        self._write({"kind": JournalKind.PROGRESS, "counts": counts})

    def close(self, *, remove: bool = False) -> None:
        """Give up the file, or remove it. Whoever locks it next reads it."""
        if self._file is None:
            return
        if remove and not self._waiting:
            self._file.remove()
        else:
            self._file.close()
        self._file = None

    def flush(self) -> None:
        """Write the lines that wait, as far as the disk takes them."""
        while self._waiting:
            line = self._waiting[0]
            if not self._append(line):
                return
            self._waiting.popleft()
            self._waiting_bytes -= len(line)
        # Only now: a request whose end waits is not among those that run.
        if self._size >= self._max_file_bytes:
            self._go_on_in_another_file()

    def _write(self, line: Mapping[str, Any]) -> None:
        encoded = encode(line)
        if not self._waiting and self._append(encoded):
            if self._size >= self._max_file_bytes:
                self._go_on_in_another_file()
            return
        self._waiting.append(encoded)
        self._waiting_bytes += len(encoded)
        while self._waiting_bytes > _MAX_WAITING_BYTES:
            self._waiting_bytes -= len(self._waiting.popleft())
            LINES_LOST.inc()

    def _append(self, line: bytes) -> bool:
        """Write a line; return whether the disk has taken it."""
        try:
            if self._file is None:
                self._file = _new_file(self._folder)
                self._size = 0
            if self._is_torn:
                # What was written of a line before is one without a right checksum.
                line = b"\n" + line
            written = os.write(self._file.fd, line)
        except OSError as error:
            logger.warning("Usage waits in memory, not in its journal: %s", error)
            return False
        self._size += written
        self._is_torn = written < len(line)
        return not self._is_torn

    def _go_on_in_another_file(self) -> None:
        """Begin another file with the requests that run."""
        assert self._file is not None  # noqa: S101 - the caller has written to it
        try:
            following = _new_file(self._folder)
            carried = b"".join(encode(line) for line in self._open.values())
            if os.write(following.fd, carried) < len(carried):
                following.remove()
                return
            os.write(self._file.fd, encode({"kind": JournalKind.CARRIED}))
        except OSError as error:
            # The same file takes more lines: it only becomes longer.
            logger.warning("The usage journal has no next file: %s", error)
            return
        self.retired.append(self._file)
        self._file, self._size = following, len(carried)


def _new_file(folder: Path) -> JournalFile:
    """Create and lock a file. Raises OSError.

    It gets its name once it is locked: nobody may think that its process is dead.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    draft = folder / f".{name}"
    fd = os.open(draft, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path = folder / f"{name}{SUFFIX}"
        draft.rename(path)
    except BaseException:
        os.close(fd)
        raise
    return JournalFile(path, fd)


def take_over(folder: Path) -> list[JournalFile]:
    """Lock the files whose processes are gone; return them, the oldest first."""
    taken: list[JournalFile] = []
    try:
        paths = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
    except FileNotFoundError:
        # One was removed between two looks: the next look finds the others.
        return []
    for path in paths:
        try:
            fd = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        if not path.exists():
            # Its last owner has removed it since it was opened.
            os.close(fd)
            continue
        taken.append(JournalFile(path, fd))
    return taken
