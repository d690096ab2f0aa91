"""The files of one model: one GGUF file, or its shards.

Groups the files that were found into models and reads their headers and fingerprint.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from registry.errors import InvalidGGUF
from registry.gguf.describe import describe
from registry.gguf.header import parse_header
from registry.scan.folders import FoundFile, UnusablePath, mtime_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from registry.gguf.describe import ModelDescription
    from registry.gguf.header import GGUFHeader

#: Bytes of each end of a file that its fingerprint covers.
FINGERPRINT_BYTES = 1024 * 1024
#: Most shards of one model. Names have five digits; the largest models have a few
#: dozen shards.
MAX_SHARDS = 10_000

_SHARD = re.compile(
    r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.gguf",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One model's files, first shard first; ``stem`` is their common name."""

    stem: str
    files: tuple[FoundFile, ...]

    @property
    def path(self) -> str:
        """The file, or the first shard."""
        return self.files[0].path

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file."""
        return tuple(file.path for file in self.files)

    @property
    def size(self) -> int:
        """Bytes, all files."""
        return sum(file.size for file in self.files)

    @property
    def mtime_ns(self) -> int:
        """The latest modification time of a file, in ns."""
        return max(file.mtime_ns for file in self.files)


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A model that was read; ``files`` has the sizes at that time."""

    files: ModelFiles
    description: ModelDescription
    fingerprint: str


def group_files(
    files: Iterable[FoundFile],
) -> tuple[list[ModelFiles], list[UnusablePath]]:
    """Return the models that files form, and the sets of shards that are incomplete.

    A model of links to files that are all another model's is that model, and is not
    returned. One that shares only some of them is a model of its own: a hub's cache
    has a folder of links for each revision.
    """
    models = []
    unusable = []
    sets: dict[tuple[str, str, int], dict[int, FoundFile]] = {}
    for file in files:
        shard = _SHARD.fullmatch(Path(file.path).name)
        if shard is None:
            models.append(ModelFiles(Path(file.path).stem, (file,)))
            continue
        number, total = int(shard["number"]), int(shard["total"])
        if not 1 <= number <= total <= MAX_SHARDS:
            reason = f"there is no shard {number} of {total}"
            unusable.append(UnusablePath(file.path, reason))
            continue
        # Shards that were copied from different systems may differ in this only.
        stem = unicodedata.normalize("NFC", shard["stem"])
        key = (str(Path(file.path).parent), stem, total)
        sets.setdefault(key, {})[number] = file
    for (folder, stem, total), shards in sets.items():
        if len(shards) == total:
            files_in_order = tuple(shards[number] for number in sorted(shards))
            models.append(ModelFiles(stem, files_in_order))
        else:
            unusable.append(_incomplete(folder, stem, total, shards))
    return _distinct(sorted(models, key=lambda model: model.path)), unusable


def _distinct(models: Sequence[ModelFiles]) -> list[ModelFiles]:
    """Return the models without those that are only links to another one's files."""
    linked = {model.path for model in models if any(f.is_link for f in model.files)}
    seen: set[tuple[tuple[int, int], ...]] = set()
    distinct = []
    # A model keeps its own name, not that of a link to it.
    for model in sorted(models, key=lambda model: model.path in linked):
        inodes = tuple(file.inode for file in model.files)
        if model.path not in linked or inodes not in seen:
            distinct.append(model)
        seen.add(inodes)
    return sorted(distinct, key=lambda model: model.path)


def shard_paths(path: Path) -> list[Path]:
    """Return the paths of all shards of the set that a file's name belongs to."""
    shard = _SHARD.fullmatch(path.name)
    if shard is None or int(shard["total"]) > MAX_SHARDS:
        return [path]
    total = int(shard["total"])
    return [
        path.with_name(_shard_name(shard["stem"], number, total, path.suffix))
        for number in range(1, total + 1)
    ]


def read_model(files: ModelFiles) -> ReadModel:
    """Read the headers and the fingerprint of a model's files.

    Raises InvalidGGUF, with the reason as its message, and OSError.
    """
    found = []
    headers = []
    fingerprints = []
    for file in files.files:
        try:
            with _open(file.path) as stream:
                status = os.fstat(stream.fileno())
                headers.append(parse_header(stream, status.st_size))
                fingerprints.append(_fingerprint(stream, status.st_size))
        except InvalidGGUF as error:
            if len(files.files) == 1:
                raise
            raise InvalidGGUF(f"{Path(file.path).name}: {error}") from None
        # Record the size that was read: the file may have changed since it was found.
        found.append(replace(file, size=status.st_size, mtime_ns=mtime_ns(status)))
    _check_split(headers)
    return ReadModel(
        files=ModelFiles(files.stem, tuple(found)),
        description=describe(headers),
        fingerprint=_joined(fingerprints),
    )


def fingerprint_now(paths: Sequence[Path]) -> str:
    """Return the fingerprint that a scan would find. Raises InvalidGGUF and OSError."""
    fingerprints = []
    for path in paths:
        with _open(str(path)) as stream:
            size = os.fstat(stream.fileno()).st_size
            fingerprints.append(_fingerprint(stream, size))
    return _joined(fingerprints)


def read_headers(paths: Sequence[Path]) -> list[GGUFHeader]:
    """Return the header of each file. Raises InvalidGGUF and OSError."""
    headers = []
    for path in paths:
        with _open(str(path)) as stream:
            size = os.fstat(stream.fileno()).st_size
            headers.append(parse_header(stream, size))
    return headers


def _open(path: str) -> BinaryIO:
    # O_NONBLOCK: do not wait for a writer if a pipe has replaced the file.
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise InvalidGGUF("not a file")
    return stream


def _fingerprint(stream: BinaryIO, size: int) -> str:
    """Return a digest of the size, the start and the end; independent of the path."""
    digest = hashlib.sha256(str(size).encode("ascii"))
    stream.seek(0)
    digest.update(stream.read(FINGERPRINT_BYTES))
    stream.seek(max(0, size - FINGERPRINT_BYTES))
    digest.update(stream.read(FINGERPRINT_BYTES))
    return digest.hexdigest()


def _joined(fingerprints: Sequence[str]) -> str:
    if len(fingerprints) == 1:
        return fingerprints[0]
    return hashlib.sha256("".join(fingerprints).encode("ascii")).hexdigest()


def _check_split(headers: Sequence[GGUFHeader]) -> None:
    """Raise InvalidGGUF if the shards' headers contradict their names."""
    total = len(headers)
    for number, header in enumerate(headers, start=1):
        stated_total = header.integer("split.count") or 1
        stated = (header.integer("split.no") or 0) + 1
        if (stated, stated_total) != (number, total):
            raise InvalidGGUF(
                f"the header says shard {stated} of {stated_total}, "
                f"the file name {number} of {total}"
            )
    tensors = headers[0].integer("split.tensors.count")
    found = sum(len(header.tensors) for header in headers)
    if tensors is not None and tensors != found:
        raise InvalidGGUF(f"the shards have {found} tensors, the header says {tensors}")


def _incomplete(
    folder: str, stem: str, total: int, shards: dict[int, FoundFile]
) -> UnusablePath:
    """Return which shards are missing, under the path of the first shard."""
    present = next(iter(shards.values()))
    suffix = Path(present.path).suffix
    first = str(Path(folder) / _shard_name(stem, 1, total, suffix))
    missing = list(_missing(shards, total))
    if len(missing) == 1:
        reason = f"shard {missing[0]} of {total} is missing"
    else:
        reason = f"{len(missing)} of {total} shards are missing, first {missing[0]}"
    return UnusablePath(
        first, f"{reason}: {_shard_name(stem, missing[0], total, suffix)}"
    )


def _missing(shards: dict[int, FoundFile], total: int) -> Iterator[int]:
    return (number for number in range(1, total + 1) if number not in shards)


def _shard_name(stem: str, number: int, total: int, suffix: str) -> str:
    return f"{stem}-{number:05}-of-{total:05}{suffix}"
