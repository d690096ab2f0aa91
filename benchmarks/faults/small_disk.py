"""A disk of its own for a folder, small enough to be filled."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Room for what a server with one small model writes in an hour.
_SIZE = "256m"
_BLOCKS = (1024 * 1024, 4096, 1)
_FILLER = "filler"


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a disk at a folder until the end of the block; False if that is refused.

    It takes Linux and root.
    """
    is_mounted = sys.platform == "linux" and _mount(folder)
    try:
        yield is_mounted
    finally:
        if is_mounted:
            # Lazily: a process that hangs may still have a file open.
            subprocess.run([_program("umount"), "--lazy", str(folder)], check=True)


def _mount(folder: Path) -> bool:
    command = [
        _program("mount"),
        "-t",
        "tmpfs",
        "-o",
        f"size={_SIZE},mode=0700",
        "tmpfs",
    ]
    done = subprocess.run([*command, str(folder)], check=False, capture_output=True)
    return done.returncode == 0


def _program(name: str) -> str:
    program = shutil.which(name)
    assert program is not None, "Every Linux has it."
    return program


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fill the disk of a folder to its last byte, and make room again."""
    filler = folder / _FILLER
    try:
        with filler.open("wb", buffering=0) as file:
            for size in _BLOCKS:
                with _until_full():
                    while True:
                        file.write(b"\0" * size)
        yield
    finally:
        with suppress(FileNotFoundError):
            filler.unlink()


@contextmanager
def _until_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
