"""Room on the disk for files that come."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_manager.lib.units import human_bytes
from registry.hub.errors import DiskFull

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free where a folder is."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class Room:
    """A folder and what has to stay free beside it, in bytes."""

    folder: Path
    keep_free: int
    free: Callable[[Path], int] = free_bytes

    def check(self, needed: int) -> None:
        """Raise DiskFull unless so many more bytes have room."""
        free = self.free(self.folder)
        if needed <= free - self.keep_free:
            return
        raise DiskFull(
            f"The disk has no room: {human_bytes(needed)} more are needed in "
            f"'{self.folder}', {human_bytes(free)} are free, and "
            f"{human_bytes(self.keep_free)} have to stay free "
            "(downloads.keep_free_mb)."
        )
