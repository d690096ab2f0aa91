"""The data directory: creates it, locks it, and writes files in it atomically."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from llm_manager.launcher.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1024 * 1024
#: Left free for the database, its log and the sockets.
SPARE_BYTES = 64 * _MIB


def prepare(data_dir: Path) -> None:
    """Create the directory for its owner only, and check that it is writable.

    Raises StartupError.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except FileExistsError:
        raise StartupError(
            f"The data directory {data_dir} is a file; choose another with --data-dir."
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StartupError(
            f"The data directory {data_dir} cannot be written "
            f"({error.strerror}); choose another with --data-dir."
        ) from None


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Lock the data directory; the kernel releases the lock if the process dies."""
    # Children do not inherit the descriptor, so they do not hold the lock.
    with (data_dir / "server.lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StartupError(
                f"Another llm-manager server (process {file.read().strip()}) uses the "
                f"data directory {data_dir}; stop it, or choose another directory "
                "with --data-dir."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable only by its owner."""
    # mkstemp creates the file with mode 0600.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def require_space(directory: Path, size_bytes: int) -> None:
    """Check that a file of this size fits. Raises StartupError."""
    free = shutil.disk_usage(directory).free
    if free < size_bytes + SPARE_BYTES:
        raise StartupError(
            f"The disk is full: {directory} has {free // _MIB} MiB left, and "
            f"{(size_bytes + SPARE_BYTES) // _MIB} MiB are needed."
        )
