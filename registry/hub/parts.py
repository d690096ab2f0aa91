"""What has come of files that are fetched: in a folder, until they are whole.

A part is named after what it will contain, so whoever wants the same file goes on with
it, whatever ended the one before. All of it is hashed, also what an earlier process has
written.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_MAGIC = b"GGUF"
_CHUNK = 1024 * 1024
#: What there may be of a file: what came, all of it, what is known of it and its draft.
_PART, _WHOLE, _NOTES, _DRAFT = ".part", ".whole", ".json", ".new"


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file to fetch: where from, with which headers, and where to.

    ``size`` in bytes and ``sha256`` as the hub says them; None and "" if nobody does.
    """

    url: str
    target: Path
    size: int | None = None
    sha256: str = ""
    headers: Mapping[str, str] | None = None

    @property
    def key(self) -> str:
        """The name of its part."""
        return part_key(self.url, self.sha256)


def part_key(url: str, sha256: str) -> str:
    """Return the name of a file's part: its checksum, or one of its address."""
    return sha256 or f"url-{hashlib.sha256(url.encode()).hexdigest()}"


class PartFolder:
    """What has come of files, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make_folder(self) -> None:
        """Make the folder, if it is not there. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def part(self, file: WantedFile) -> Path:
        """Return where a file grows."""
        return self._of(file.key, _PART)

    def whole(self, file: WantedFile) -> Path:
        """Return where a file is once all of it is here."""
        return self._of(file.key, _WHOLE)

    def noted(self, file: WantedFile) -> dict[str, Any]:
        """Return what is known of a file."""
        try:
            found = json.loads(self._of(file.key, _NOTES).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def note(self, file: WantedFile, **more: Any) -> None:
        """Note what is known of a file. Raises OSError."""
        fresh = self._of(file.key, _DRAFT)
        fresh.write_text(json.dumps({**self.noted(file), **more}), encoding="utf-8")
        fresh.replace(self._of(file.key, _NOTES))

    def delete(self, key: str) -> None:
        """Delete what has come of a file; its lock is held."""
        for suffix in (_PART, _WHOLE, _NOTES, _DRAFT):
            self._of(key, suffix).unlink(missing_ok=True)

    @contextmanager
    def lock_if_free(self, key: str) -> Iterator[bool]:
        """Hold the lock of a part, and yield True, unless another has it.

        The system gives it back when a process ends, however that ends.
        """
        path = self._of(key, ".lock")
        with path.open("w") as lock:
            is_mine = _is_locked(lock, path)
            try:
                yield is_mine
            finally:
                if is_mine:
                    path.unlink(missing_ok=True)

    def _of(self, key: str, suffix: str) -> Path:
        return self._folder / f"{key}{suffix}"


def _is_locked(lock: TextIO, path: Path) -> bool:
    """Lock a file; return False if another has it, or has just deleted it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def delete_part(parts: Path, key: str) -> None:
    """Delete what has come of a file, unless somebody fetches it. Raises OSError."""
    if not parts.is_dir():
        return
    with PartFolder(parts).lock_if_free(key) as is_mine:
        if is_mine:
            PartFolder(parts).delete(key)


class Part:
    """A file that grows, and the hash of all of it.

    ``tick`` is called with its size while what is there is read.
    """

    def __init__(self, path: Path, tick: Callable[[int], None]) -> None:
        self._path = path
        self._tick = tick
        self._hash = hashlib.sha256()
        self._start = b""
        self._file: BinaryIO | None = None
        self.size = 0

    @contextmanager
    def open(self) -> Iterator[None]:
        """Read what is there, then take more; it is on the disk at the end."""
        # A link here would lead the file to another place.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._path, flags, 0o644), "r+b", buffering=0) as file:
            self._file = file
            self._read(file)
            try:
                yield
            finally:
                os.fsync(file.fileno())
                self._file = None

    def read_what_is_there(self) -> None:
        """Hash the file as it is. Raises OSError."""
        with self._path.open("rb") as file:
            self._read(file)

    def _read(self, file: Any) -> None:
        while chunk := file.read(_CHUNK):
            self._take(chunk)
            self._tick(self.size)

    def write(self, chunk: bytes) -> None:
        """Append a chunk. Raises OSError."""
        assert self._file is not None  # noqa: S101 - it is open
        view = memoryview(chunk)
        while view:
            written = self._file.write(view)
            self._take(bytes(view[:written]))
            view = view[written:]

    def restart(self) -> None:
        """Forget what is there."""
        assert self._file is not None  # noqa: S101 - it is open
        self._file.seek(0)
        self._file.truncate()
        self._hash, self._start, self.size = hashlib.sha256(), b"", 0

    def digest(self) -> str:
        """Return the sha256 of what is there."""
        return self._hash.hexdigest()

    def is_gguf(self) -> bool:
        """Return whether the first bytes are a GGUF file's, as far as they are here."""
        return _MAGIC.startswith(self._start[: len(_MAGIC)])

    def _take(self, chunk: bytes) -> None:
        if len(self._start) < len(_MAGIC):
            self._start += chunk[: len(_MAGIC)]
        self._hash.update(chunk)
        self.size += len(chunk)
