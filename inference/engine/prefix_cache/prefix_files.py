"""Stores prefixes as files: tokens, and llama.cpp's KV state of them.

KV state reveals the prompts, so only the user of this process may read folder and
files, and file names reveal nothing. Files appear atomically. What is read is checked
against its digest, because llama.cpp does not validate states.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import struct
import tempfile
import time
from array import array
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

logger = logging.getLogger(__name__)

_SUFFIX = ".kvprefix"
_UNFINISHED = ".kvprefix-unfinished"
#: An unfinished file that is older than this was abandoned by its writer.
_LOST_AFTER_S = 600.0
_MAGIC = b"LLMKVP1\0"
#: The header: magic, scope, number of tokens, bytes of state; the state's digest, and
#: the digest of all of these and the tokens. Tokens and state follow.
_HEADER = struct.Struct("<8s32sQQ32s32s")
_DIGEST_BYTES = 32
_TOKEN_BYTES = 4
_PRIVATE_FOLDER = 0o700


class BrokenPrefix(Exception):
    """The file is not one of ours, or is damaged; the message says why."""


@dataclass(frozen=True, slots=True)
class PrefixHeader:
    """The header of a file; ``scope`` is a digest of its PrefixScope."""

    name: str
    scope: bytes
    tokens: list[int]


class PrefixFolder:
    """A folder with the prefixes of all models; reads and writes those of one model.

    Several workers may use a folder at once: files appear and vanish atomically.
    """

    def __init__(self, path: Path, *, model: bytes, max_bytes: int) -> None:
        """``model`` is the digest of all that cells depend on. Raises OSError."""
        self._path = path
        self._begin = f"{model.hex()[:32]}-"
        self._max_bytes = max_bytes
        path.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) & ~_PRIVATE_FOLDER:
            path.chmod(_PRIVATE_FOLDER)

    def headers(self) -> Iterator[PrefixHeader]:
        """Yield the model's prefixes, oldest first; remove broken files."""
        for file in self._files():
            if not file.name.startswith(self._begin):
                continue
            try:
                with self._open(file.name) as stream:
                    yield _read_header(stream, file.name)[0]
            except FileNotFoundError:
                continue
            except (BrokenPrefix, OSError) as error:
                self._refuse(file.name, error)

    def read(self, name: str, scope: bytes) -> bytes | None:
        """Return the state in a file and mark it as used; None if there is no file."""
        try:
            with self._open(name) as stream:
                header, digest = _read_header(stream, name)
                state = stream.read()
            if header.scope != scope or hashlib.sha256(state).digest() != digest:
                raise BrokenPrefix("its state is not as it was written")
            os.utime(self._path / name)
        except FileNotFoundError:
            return None
        except (BrokenPrefix, OSError) as error:
            self._refuse(name, error)
            return None
        return state

    def write(self, scope: bytes, tokens: list[int], state: bytes) -> str | None:
        """Write a file; return its name, None if it is larger than ``max_bytes``.

        The least recently used files are removed to make room. Raises OSError.
        """
        spelled = array("i", tokens).tobytes()
        start = _HEADER.pack(
            *(_MAGIC, scope, len(tokens), len(state), hashlib.sha256(state).digest()),
            bytes(_DIGEST_BYTES),
        )[:-_DIGEST_BYTES]
        check = hashlib.sha256(start + spelled).digest()
        size = _HEADER.size + len(spelled) + len(state)
        if size > self._max_bytes:
            return None
        self._make_room(size)
        name = self._begin + hashlib.sha256(scope + spelled).hexdigest()[:32] + _SUFFIX
        handle, unfinished = tempfile.mkstemp(suffix=_UNFINISHED, dir=self._path)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(start + check + spelled)
                stream.write(state)
            Path(unfinished).replace(self._path / name)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
        return name

    def remove(self, names: Iterable[str]) -> None:
        """Remove files. Idempotent."""
        for name in names:
            (self._path / name).unlink(missing_ok=True)

    def remove_lost(self) -> None:
        """Remove unfinished files that were abandoned by their writers."""
        for entry in os.scandir(self._path):
            if not entry.name.endswith(_UNFINISHED):
                continue
            with suppress(FileNotFoundError):
                if time.time() - entry.stat().st_mtime > _LOST_AFTER_S:
                    Path(entry.path).unlink()

    def _open(self, name: str) -> BinaryIO:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.fdopen(os.open(self._path / name, flags), "rb")

    def _files(self) -> list[os.DirEntry[str]]:
        """Return the files of all models, the least recently used first."""
        entries = [e for e in os.scandir(self._path) if e.name.endswith(_SUFFIX)]
        used = []
        for entry in entries:
            with suppress(FileNotFoundError):
                used.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry))
        return [entry for _, entry in sorted(used, key=lambda each: each[0])]

    def _make_room(self, size: int) -> None:
        sizes = {}
        for entry in self._files():
            with suppress(FileNotFoundError):
                sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
        total = sum(sizes.values())
        for name, each in sizes.items():
            if total + size <= self._max_bytes:
                return
            self.remove([name])
            total -= each

    def _refuse(self, name: str, error: Exception) -> None:
        logger.warning("The cached prefix %s is removed: %s", name, error)
        self.remove([name])


def _read_header(stream: BinaryIO, name: str) -> tuple[PrefixHeader, bytes]:
    """Return a file's header and its state's digest. Raises BrokenPrefix."""
    size = os.fstat(stream.fileno()).st_size
    start = stream.read(_HEADER.size)
    if len(start) < _HEADER.size:
        raise BrokenPrefix("it is too short")
    magic, scope, num_tokens, state_bytes, digest, check = _HEADER.unpack(start)
    if magic != _MAGIC:
        raise BrokenPrefix("it is of another version, or something else")
    if size != _HEADER.size + num_tokens * _TOKEN_BYTES + state_bytes:
        raise BrokenPrefix(f"it has {size} bytes, its header says otherwise")
    spelled = stream.read(num_tokens * _TOKEN_BYTES)
    if hashlib.sha256(start[:-_DIGEST_BYTES] + spelled).digest() != check:
        raise BrokenPrefix("its header is not as it was written")
    return PrefixHeader(name, scope, array("i", spelled).tolist()), digest
