"""Brings files here: in parts that are kept, checked, and moved when all are whole.

A part is named after what it will contain, so whoever wants the same file goes on with
it, whatever ended the one before. All of it is hashed, also what an earlier process has
written.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import httpx2

from llm_manager.lib.quoting import printable, quote
from registry.hub.errors import (
    BrokenConnection,
    DiskFull,
    DownloadFailed,
    NameServerAway,
    NoSuchFile,
    WrongContent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from registry.hub.disk import Room

MAGIC = b"GGUF"
_CHUNK = 1024 * 1024
#: How often the disk is asked, in bytes.
_ROOM_EVERY = 32 * _CHUNK
#: A connection that brings nothing is tried so often, after these seconds.
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
_MAX_PAUSE_S = 60.0
#: How often it is tried to get a part that another download has.
_LOCK_PAUSE_S = 1.0
_OK, _PARTIAL, _RANGE_WRONG = 200, 206, 416
#: What there may be of a file: what came, all of it, what is known of it and its draft.
_PART, _WHOLE, _NOTES = ".part", ".whole", ".json"
_SUFFIXES = (_PART, _WHOLE, _NOTES, ".new")
_GONE = (401, 403, 404, 410, 451)


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


def delete_part(parts: Path, key: str) -> None:
    """Delete what has come of a file, unless somebody fetches it. Raises OSError."""
    if not parts.is_dir():
        return
    with _lock_if_free(parts, key) as is_mine:
        if is_mine:
            _delete_files(parts, key)


class Fetcher:
    """Fetches the files of one model.

    ``moved`` is called with the bytes that are here, of all files, and may raise
    DownloadStopped; ``pause`` waits so many seconds and may raise it too. ``passed`` is
    called with the bytes that have come, and returns the seconds to wait for them.
    """

    def __init__(
        self,
        client: httpx2.Client,
        parts: Path,
        room: Room,
        *,
        moved: Callable[[int], None],
        pause: Callable[[float], None],
        measured: Callable[[int], None] = lambda _size: None,
        passed: Callable[[int], float] = lambda _count: 0.0,
    ) -> None:
        self._client = client
        self._parts = parts
        self._room = room
        self._moved = moved
        self._pause = pause
        self._measured = measured
        self._passed = passed
        self._before = 0

    def fetch(
        self,
        files: Sequence[WantedFile],
        *,
        check: Callable[[Sequence[Path]], None] = lambda _paths: None,
    ) -> None:
        """Bring all files to their places. Raises DownloadFailed, DownloadStopped.

        What is here already stays as it is; a different file of the name is an error.
        ``check`` gets the whole files before they are placed; if it raises
        WrongContent, those that came are deleted.
        """
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            with ExitStack() as locks:
                # In one order, so that no two wait for each other.
                for key in sorted({file.key for file in files}):
                    locks.enter_context(self._locked(key))
                self._room.check(sum(map(self._missing, files)))
                for file in files:
                    self._before += self._complete(file)
                self._check_all(files, check)
                for file in files:
                    self._place(file)
        except OSError as error:
            raise _disk_failure(error) from error

    def _check_all(
        self, files: Sequence[WantedFile], check: Callable[[Sequence[Path]], None]
    ) -> None:
        here = [
            whole if (whole := self._whole(file)).exists() else file.target
            for file in files
        ]
        try:
            check(here)
        except WrongContent:
            for file in files:
                _delete_files(self._parts, file.key)
            raise

    # One file --------------------------------------------------------------------

    def _complete(self, file: WantedFile) -> int:
        """Make one file whole; return its size."""
        whole = self._whole(file)
        if file.target.exists():
            return self._check_present(file)
        if whole.exists():
            return whole.stat().st_size
        part = _Part(self._part(file), self._tick)
        with part.open():
            size = self._download(file, part)
            digest = part.digest()
        if file.sha256 and digest != file.sha256:
            _delete_files(self._parts, file.key)
            raise WrongContent(
                f"'{file.target.name}' is not what its source says: its sha256 is "
                f"{digest}, not {file.sha256}. It was deleted; try again."
            )
        if not file.sha256:
            self._note(file, sha256=digest)
        self._part(file).replace(whole)
        return size

    def _check_present(self, file: WantedFile) -> int:
        """Return the size of a file that is in its place. Raises DownloadFailed."""
        expected = file.sha256 or self._noted(file).get("sha256")
        size = file.target.stat().st_size
        if expected and file.size in (None, size):
            part = _Part(file.target, self._tick)
            part.read_what_is_there()
            if part.digest() == expected:
                return size
        raise DownloadFailed(
            f"'{file.target}' exists and is another file. Delete or rename it first."
        )

    def _download(self, file: WantedFile, part: _Part) -> int:
        failures = 0
        while True:
            had = part.size
            try:
                return self._request(file, part)
            except _TryAgain as problem:
                failures = 0 if part.size > had else failures + 1
                if failures > len(_PAUSES_S):
                    raise BrokenConnection(
                        f"'{file.target.name}' stopped at {part.size:,} bytes: "
                        f"{problem}. What is here is kept; try again later."
                    ) from None
                own = _PAUSES_S[max(failures - 1, 0)]
                self._pause(min(max(problem.after_s, own), _MAX_PAUSE_S))

    def _request(self, file: WantedFile, part: _Part) -> int:
        """Ask for what is missing; return the size when it is whole.

        Raises _TryAgain when the connection broke.
        """
        size = self._size(file)
        if size is not None and part.size == size:
            return size
        if size is not None and part.size > size:
            part.restart()
        headers = {**(file.headers or {}), "Accept-Encoding": "identity"}
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
            if mark := self._noted(file).get("mark"):
                headers["If-Range"] = mark
            elif not file.sha256:
                # Nothing says that it is still the same file.
                part.restart()
                del headers["Range"]
        try:
            with self._client.stream("GET", file.url, headers=headers) as response:
                return self._receive(file, part, response)
        except (httpx2.TransportError, httpx2.StreamError, NameServerAway) as error:
            raise _TryAgain(str(error) or type(error).__name__) from None
        except httpx2.TooManyRedirects:
            raise DownloadFailed(
                f"'{file.url}' is redirected without an end."
            ) from None
        except httpx2.InvalidURL as error:
            raise DownloadFailed(f"'{file.url}' is redirected to {error}.") from None

    def _receive(self, file: WantedFile, part: _Part, response: httpx2.Response) -> int:
        _check_status(file, response)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadFailed(f"'{file.url}' comes packed, which nobody asked for.")
        if response.status_code == _RANGE_WRONG:
            part.restart()
            raise _TryAgain("the server has fewer bytes than are here")
        if response.status_code == _OK:
            part.restart()
            total = _number(response.headers.get("Content-Length"))
        else:
            start, total = _content_range(response)
            if start != part.size:
                raise _TryAgain("the server sent another range than was asked for")
        size = self._agreed_size(file, total)
        mark = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if not file.sha256:
            # A weak mark says nothing about single bytes (RFC 9110, 13.1.5).
            is_strong = bool(mark) and not str(mark).startswith("W/")
            self._note(file, mark=mark if is_strong else None, size=size)
        self._room.check(size - part.size)
        self._measured(size)
        unchecked = 0
        for chunk in response.iter_raw():
            if part.size + len(chunk) > size:
                part.restart()
                raise WrongContent(f"'{file.url}' sends more than {size:,} bytes.")
            part.write(chunk)
            if not part.is_gguf():
                part.restart()
                raise WrongContent(f"'{file.url}' is no GGUF file.")
            unchecked += len(chunk)
            if unchecked >= _ROOM_EVERY:
                unchecked = 0
                self._room.check(size - part.size)
            self._tick(part.size)
            if wait_s := self._passed(len(chunk)):
                self._pause(wait_s)
        if part.size < size:
            raise _TryAgain("the connection ended in the middle")
        return size

    def _tick(self, size: int) -> None:
        self._moved(self._before + size)

    # What is known of a file -----------------------------------------------------

    def _size(self, file: WantedFile) -> int | None:
        return self._noted(file).get("size") if file.size is None else file.size

    def _agreed_size(self, file: WantedFile, total: int | None) -> int:
        if total is None:
            raise DownloadFailed(
                f"'{file.url}' does not say how large it is (Content-Length)."
            )
        if file.size is not None and file.size != total:
            raise WrongContent(
                f"'{file.target.name}' has {total:,} bytes, not {file.size:,}."
            )
        return total

    def _missing(self, file: WantedFile) -> int:
        """Return how many bytes of a file are still to come, as far as is known."""
        if file.target.exists() or self._whole(file).exists():
            return 0
        part = self._part(file)
        here = part.stat().st_size if part.exists() else 0
        return max((self._size(file) or 0) - here, 0)

    def _noted(self, file: WantedFile) -> dict[str, Any]:
        try:
            found = json.loads(self._notes(file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _note(self, file: WantedFile, **more: Any) -> None:
        text = json.dumps({**self._noted(file), **more})
        fresh = self._notes(file).with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self._notes(file))

    # Places ------------------------------------------------------------------------

    def _part(self, file: WantedFile) -> Path:
        return self._parts / f"{file.key}{_PART}"

    def _whole(self, file: WantedFile) -> Path:
        return self._parts / f"{file.key}{_WHOLE}"

    def _notes(self, file: WantedFile) -> Path:
        return self._parts / f"{file.key}{_NOTES}"

    def _place(self, file: WantedFile) -> None:
        whole = self._whole(file)
        if not file.target.exists():
            file.target.parent.mkdir(parents=True, exist_ok=True)
            whole.replace(file.target)
            _sync_folder(file.target.parent)
        elif whole.exists():
            # It was not there when the download began.
            self._check_present(file)
        _delete_files(self._parts, file.key)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the lock of a part; wait until nobody else has it."""
        while True:
            with _lock_if_free(self._parts, key) as is_mine:
                if is_mine:
                    yield
                    return
            self._pause(_LOCK_PAUSE_S)


class _TryAgain(Exception):
    """A connection that broke; another one goes on."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


class _Part:
    """A file that grows, and the hash of all of it."""

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
        return MAGIC.startswith(self._start[: len(MAGIC)])

    def _take(self, chunk: bytes) -> None:
        if len(self._start) < len(MAGIC):
            self._start += chunk[: len(MAGIC)]
        self._hash.update(chunk)
        self.size += len(chunk)


def _delete_files(parts: Path, key: str) -> None:
    """Delete what has come of a file; its lock is held."""
    for suffix in _SUFFIXES:
        (parts / f"{key}{suffix}").unlink(missing_ok=True)


@contextmanager
def _lock_if_free(parts: Path, key: str) -> Iterator[bool]:
    """Hold the lock of a part, and yield True, unless another has it.

    The system gives it back when a process ends, however that ends.
    """
    path = parts / f"{key}.lock"
    with path.open("w") as lock:
        is_mine = _is_locked(lock, path)
        try:
            yield is_mine
        finally:
            if is_mine:
                path.unlink(missing_ok=True)


def _is_locked(lock: TextIO, path: Path) -> bool:
    """Lock a file; return False if another has it, or has just deleted it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _check_status(file: WantedFile, response: httpx2.Response) -> None:
    status = response.status_code
    if status in (_OK, _PARTIAL, _RANGE_WRONG):
        return
    if status in _GONE:
        said = response.headers.get("X-Error-Message", "")
        reason = f": {printable(quote(said))}" if said else ""
        raise NoSuchFile(f"The server answers {status} for '{file.url}'{reason}")
    after = _number(response.headers.get("Retry-After"))
    raise _TryAgain(f"the server answers {status}", float(after or 0))


def _content_range(response: httpx2.Response) -> tuple[int | None, int | None]:
    """Return where the bytes begin that came, and how many the whole file has."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    return (_number(start) if unit == "bytes" else None), _number(total)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _disk_failure(error: OSError) -> DownloadFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            "The disk is full. What is here is kept; make room and try again."
        )
    return DownloadFailed(f"It cannot be written: {error}.")


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
