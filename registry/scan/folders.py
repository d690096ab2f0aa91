"""Finds GGUF files under folders by their names and types. Opens none of them.

A folder may contain links in circles or out of the folder, names that are not text,
devices, and files that vanish during the search. Each of them is reported with a
reason; none stops the search.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUFFIX = ".gguf"
#: Most files of one search; a thousand times what a machine has.
MAX_FILES = 100_000
#: Length of the registry's column for a path, in characters.
MAX_PATH_LENGTH = 1024

_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file whose name ends in ``SUFFIX``. ``size`` is in bytes.

    ``inode`` is the device and the inode, those of the target for a link.
    """

    path: str
    size: int
    mtime_ns: int
    inode: tuple[int, int] = field(default=(0, 0), compare=False)
    is_link: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class UnusablePath:
    """A file or a folder that cannot be used, and the reason."""

    path: str
    reason: str


@dataclass(slots=True)
class FoundFiles:
    """The files under some folders, sorted by path, and the paths that are unusable."""

    files: list[FoundFile] = field(default_factory=list)
    unusable: list[UnusablePath] = field(default_factory=list)


def resolve_root(root: Path) -> Path:
    """Return the canonical path of a root, so that a file has only one path.

    For a file only the folder is resolved: a link keeps its own name, which becomes
    the model's. A name that is not there is looked for in the other Unicode normal
    form: keyboards write NFC, some file systems NFD.
    """
    forms = (root, *(Path(normalize(form, str(root))) for form in ("NFC", "NFD")))
    root = next((path for path in forms if os.path.lexists(path)), root)
    resolved = Path(os.path.realpath(root))
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except OSError:
        return resolved
    return resolved if is_folder else Path(os.path.realpath(root.parent)) / root.name


def is_under(path: str, folder: str) -> bool:
    """Return whether ``path`` is ``folder`` or inside it, judged by the names."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def find_files(roots: Sequence[Path]) -> FoundFiles:
    """Return the GGUF files under resolved roots, each a folder or a file.

    Names that begin with a dot are skipped: they are caches, bins and unfinished
    downloads. A link is followed if its target is under the roots. Several links to
    one file are several files: two models may share a shard.
    """
    finder = _FileFinder(roots)
    for root in roots:
        finder.search(root)
    finder.follow_links()
    return finder.result()


def unusable_path(path: str, error: OSError) -> UnusablePath:
    """Return a path with the operating system's reason."""
    reason = (error.strerror or type(error).__name__).lower()
    return UnusablePath(printable_path(path), reason)


def printable_path(path: str) -> str:
    """Return a path as text, with ``\\xff`` for bytes that are not UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


class _FileFinder:
    """One search. Folders are identified by device and inode, files by their path."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = [str(root) for root in roots]
        self._folders: set[tuple[int, int]] = set()
        self._files: dict[str, FoundFile] = {}
        self._unusable: dict[str, UnusablePath] = {}
        # Followed last, so that a folder keeps its own name, not that of a link to it.
        self._links: list[str] = []

    def search(self, root: Path) -> None:
        """Search one root."""
        path = str(root)
        try:
            status = root.stat()
        except OSError as error:
            self._refuse(path, error)
            return
        if stat.S_ISDIR(status.st_mode):
            self._search_folder(path)
        elif path.lower().endswith(SUFFIX):
            self._add(path, status, is_link=root.is_symlink())
        else:
            self._refuse(path, f"the name does not end in {SUFFIX}")

    def follow_links(self) -> None:
        """Search the targets of links, including links found there."""
        while self._links:
            links, self._links = self._links, []
            for link in links:
                self._follow(link)

    def result(self) -> FoundFiles:
        """Return what was found, sorted by path."""
        return FoundFiles(
            [self._files[path] for path in sorted(self._files)],
            [self._unusable[path] for path in sorted(self._unusable)],
        )

    def _search_folder(self, top: str) -> None:
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
                continue  # It vanished.
            except OSError as error:
                self._refuse(folder, error)
                continue
            pending += reversed([e.path for e in found if self._is_folder(e)])

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        """Return whether an entry is a folder to search; add a model file."""
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
            pass  # It vanished.
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
                self._refuse(link, "the symlink is broken" if broken else error)
            return
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder and not has_suffix:
            return
        target = os.path.realpath(link)
        if not any(is_under(target, root) for root in self._roots):
            self._refuse(link, "the symlink leads out of the models directory")
        elif is_folder:
            self._search_folder(link)
        else:
            self._add(link, status, is_link=True)

    def _add(self, path: str, status: os.stat_result, *, is_link: bool = False) -> None:
        if not self._is_text(path):
            return
        if not stat.S_ISREG(status.st_mode):
            self._refuse(path, f"not a file but a {_kind(status.st_mode)}")
        elif len(path) > MAX_PATH_LENGTH:
            self._refuse(path, f"the path is longer than {MAX_PATH_LENGTH} characters")
        elif len(self._files) >= MAX_FILES:
            self._refuse(path, f"more than {MAX_FILES} files in one scan")
        else:
            self._files[path] = FoundFile(
                path, status.st_size, mtime_ns(status), _inode(status), is_link
            )

    def _is_text(self, path: str) -> bool:
        if printable_path(path) == path:
            return True
        self._refuse(path, "the name is not UTF-8")
        return False

    def _refuse(self, path: str, why: OSError | str) -> None:
        if len(self._unusable) < MAX_FILES:
            self._unusable[path] = (
                unusable_path(path, why)
                if isinstance(why, OSError)
                else UnusablePath(printable_path(path), why)
            )


def mtime_ns(status: os.stat_result) -> int:
    """Return the modification time in ns, clamped to 64 bits."""
    return max(-_INT64, min(status.st_mtime_ns, _INT64))


def _is_first(status: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    inode = _inode(status)
    if inode in seen:
        return False
    seen.add(inode)
    return True


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "pipe"
    if stat.S_ISSOCK(mode):
        return "socket"
    return "folder" if stat.S_ISDIR(mode) else "device"
