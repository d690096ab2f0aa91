"""How much room the folders of an installation have on their disks."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class DiskSpace(TypedDict):
    """A folder's disk, in bytes; ``error`` is why it cannot be asked, else ""."""

    name: str
    path: str
    total: int
    free: int
    error: str


def disk_spaces(folders: Mapping[str, Iterable[Path]]) -> list[DiskSpace]:
    """Return the disks of folders, by what the folders are for."""
    return [_space(name, path) for name, paths in folders.items() for path in paths]


def _space(name: str, path: Path) -> DiskSpace:
    try:
        usage = shutil.disk_usage(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return DiskSpace(name=name, path=str(path), total=0, free=0, error=reason)
    return DiskSpace(
        name=name, path=str(path), total=usage.total, free=usage.free, error=""
    )
