"""Brings files here: in parts that are kept, checked, and moved when all are whole.

Whoever fetches a file goes on with what has come of it, whatever ended the one before.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

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
from registry.hub.parts import Part, PartFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from registry.hub.disk import Room
    from registry.hub.parts import WantedFile

#: How often the disk is asked, in bytes.
_ROOM_EVERY = 32 * 1024 * 1024
#: A connection that brings nothing is tried so often, after these seconds.
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
_MAX_PAUSE_S = 60.0
#: How often it is tried to get a part that another download has.
_LOCK_PAUSE_S = 1.0
_OK, _PARTIAL, _RANGE_WRONG = 200, 206, 416
_GONE = (401, 403, 404, 410, 451)


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
        self._parts = PartFolder(parts)
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
            self._parts.make_folder()
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
            whole if (whole := self._parts.whole(file)).exists() else file.target
            for file in files
        ]
        try:
            check(here)
        except WrongContent:
            for file in files:
                self._parts.delete(file.key)
            raise

    # One file --------------------------------------------------------------------

    def _complete(self, file: WantedFile) -> int:
        """Make one file whole; return its size."""
        whole = self._parts.whole(file)
        if file.target.exists():
            return self._check_present(file)
        if whole.exists():
            return whole.stat().st_size
        part = Part(self._parts.part(file), self._tick)
        with part.open():
            size = self._download(file, part)
            digest = part.digest()
        if file.sha256 and digest != file.sha256:
            self._parts.delete(file.key)
            raise WrongContent(
                f"'{file.target.name}' is not what its source says: its sha256 is "
                f"{digest}, not {file.sha256}. It was deleted; try again."
            )
        if not file.sha256:
            self._parts.note(file, sha256=digest)
        self._parts.part(file).replace(whole)
        return size

    def _check_present(self, file: WantedFile) -> int:
        """Return the size of a file that is in its place. Raises DownloadFailed."""
        expected = file.sha256 or self._parts.noted(file).get("sha256")
        size = file.target.stat().st_size
        if expected and file.size in (None, size):
            part = Part(file.target, self._tick)
            part.read_what_is_there()
            if part.digest() == expected:
                return size
        raise DownloadFailed(
            f"'{file.target}' exists and is another file. Delete or rename it first."
        )

    def _download(self, file: WantedFile, part: Part) -> int:
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

    def _request(self, file: WantedFile, part: Part) -> int:
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
            if mark := self._parts.noted(file).get("mark"):
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

    def _receive(self, file: WantedFile, part: Part, response: httpx2.Response) -> int:
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
            self._parts.note(file, mark=mark if is_strong else None, size=size)
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
        return self._parts.noted(file).get("size") if file.size is None else file.size

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
        if file.target.exists() or self._parts.whole(file).exists():
            return 0
        part = self._parts.part(file)
        here = part.stat().st_size if part.exists() else 0
        return max((self._size(file) or 0) - here, 0)

    def _place(self, file: WantedFile) -> None:
        whole = self._parts.whole(file)
        if not file.target.exists():
            file.target.parent.mkdir(parents=True, exist_ok=True)
            whole.replace(file.target)
            _sync_folder(file.target.parent)
        elif whole.exists():
            # It was not there when the download began.
            self._check_present(file)
        self._parts.delete(file.key)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the lock of a part; wait until nobody else has it."""
        while True:
            with self._parts.lock_if_free(key) as is_mine:
                if is_mine:
                    yield
                    return
            self._pause(_LOCK_PAUSE_S)


class _TryAgain(Exception):
    """A connection that broke; another one goes on."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


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
