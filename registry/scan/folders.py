"""Finding GGUF files under folders. Looks at names and types, opens nothing.

A folder of models is other people's: it may hold links in circles or out of
the folder, names that are not text, devices, and things that vanish while one
looks. Each is left alone and named with a reason; none ends a walk.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUFFIX = ".gguf"
#: Files of one walk; a thousand times what a machine has.
MAX_FILES = 100_000
#: The registry's column for a path, in characters.
MAX_PATH_LENGTH = 1024

_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file with the name of a model. ``size`` is in bytes."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file or a folder that cannot be used, and why."""

    path: str
    reason: str


@dataclass(slots=True)
class Walk:
    """What is under some folders: files by path, and what was refused."""

    files: list[FoundFile] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def resolve_root(root: Path) -> Path:
    """Return the one spelling of a root, so that a file has one path.

    Of a file only the folder is resolved: a link's own name is the model's.
    """
    resolved = Path(os.path.realpath(root))
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except OSError:
        return resolved
    return resolved if is_folder else Path(os.path.realpath(root.parent)) / root.name


def is_under(path: str, folder: str) -> bool:
    """Return whether ``path`` is ``folder`` or lies in it, by their names."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def find_files(roots: Sequence[Path]) -> Walk:
    """Return the GGUF files under resolved roots, each a folder or a file.

    Names that begin with a dot are left out: they are caches, bins and half
    finished downloads. A link is followed where it stays under the roots. A
    file that is reached twice is found once, under its own name.
    """
    walk = _Walker(roots)
    for root in roots:
        walk.start(root)
    walk.follow_links()
    return walk.result()


def refusal(path: str, error: OSError) -> Refusal:
    """Return why the operating system refuses a path, in its own words."""
    reason = (error.strerror or type(error).__name__).lower()
    return Refusal(printable_path(path), reason)


def printable_path(path: str) -> str:
    """Return a path as text, with ``\\xff`` for bytes that are not UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


class _Walker:
    """One walk. Folders and files are known by device and inode, not by name."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = [str(root) for root in roots]
        self._folders: set[tuple[int, int]] = set()
        self._inodes: set[tuple[int, int]] = set()
        self._files: dict[str, FoundFile] = {}
        self._refusals: dict[str, Refusal] = {}
        # Followed last, so that what is there under its own name keeps that name.
        self._links: list[str] = []

    def start(self, root: Path) -> None:
        """Walk one root."""
        path = str(root)
        try:
            status = root.stat()
        except OSError as error:
            self._refuse(path, error)
            return
        if stat.S_ISDIR(status.st_mode):
            self._walk(path)
        elif path.lower().endswith(SUFFIX):
            self._add(path, status)
        else:
            self._refuse(path, f"the name does not end in {SUFFIX}")

    def follow_links(self) -> None:
        """Walk where links lead, and the links that are there, and so on."""
        while self._links:
            links, self._links = self._links, []
            for link in links:
                self._follow(link)

    def result(self) -> Walk:
        """Return what was found, in the order of the paths."""
        return Walk(
            [self._files[path] for path in sorted(self._files)],
            [self._refusals[path] for path in sorted(self._refusals)],
        )

    def _walk(self, top: str) -> None:
        pending = [top]
        while pending:
            folder = pending.pop()
            if not self._is_text(folder):
                continue
            try:
                status = Path(folder).stat()
                if not _is_first(status, self._folders):
                    continue
                with os.scandir(folder) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except FileNotFoundError:
                continue  # It vanished: it is not here.
            except OSError as error:
                self._refuse(folder, error)
                continue
            pending += reversed([e.path for e in found if self._is_folder(e)])

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        """Return whether an entry is to be walked; a file is added on the way."""
        if entry.name.startswith("."):
            return False
        has_suffix = entry.name.lower().endswith(SUFFIX)
        try:
            if entry.is_symlink():
                self._links.append(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                return True
            elif has_suffix:
                self._add(entry.path, entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            pass  # It vanished: it is not here.
        except OSError as error:
            self._refuse(entry.path, error)
        return False

    def _follow(self, link: str) -> None:
        has_suffix = link.lower().endswith(SUFFIX)
        try:
            status = Path(link).stat()
        except OSError as error:
            if has_suffix:
                broken = isinstance(error, FileNotFoundError)
                self._refuse(link, "the symlink leads nowhere" if broken else error)
            return
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder and not has_suffix:
            return
        target = os.path.realpath(link)
        if not any(is_under(target, root) for root in self._roots):
            self._refuse(link, "symlink leaves the models directory")
        elif is_folder:
            self._walk(link)
        elif (status.st_dev, status.st_ino) not in self._inodes:
            self._add(link, status)

    def _add(self, path: str, status: os.stat_result) -> None:
        if not self._is_text(path):
            return
        if not stat.S_ISREG(status.st_mode):
            self._refuse(path, f"not a file but a {_kind(status.st_mode)}")
        elif len(path) > MAX_PATH_LENGTH:
            self._refuse(path, f"the path is longer than {MAX_PATH_LENGTH} characters")
        elif len(self._files) >= MAX_FILES:
            self._refuse(path, f"more than {MAX_FILES} files in one scan")
        else:
            self._inodes.add((status.st_dev, status.st_ino))
            self._files[path] = FoundFile(path, status.st_size, mtime_ns(status))

    def _is_text(self, path: str) -> bool:
        if printable_path(path) == path:
            return True
        self._refuse(path, "the name is not UTF-8")
        return False

    def _refuse(self, path: str, why: OSError | str) -> None:
        if len(self._refusals) < MAX_FILES:
            self._refusals[path] = (
                refusal(path, why)
                if isinstance(why, OSError)
                else Refusal(printable_path(path), why)
            )


def mtime_ns(status: os.stat_result) -> int:
    """Return the modification time, in ns, as far as 64 bits tell it."""
    return max(-_INT64, min(status.st_mtime_ns, _INT64))


def _is_first(status: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    inode = (status.st_dev, status.st_ino)
    if inode in seen:
        return False
    seen.add(inode)
    return True


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "pipe"
    if stat.S_ISSOCK(mode):
        return "socket"
    return "folder" if stat.S_ISDIR(mode) else "device"
