"""The data directory: made, locked, and written so that nobody sees half a file."""

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
#: What the database, its log and the sockets want beside anything larger.
SPARE_BYTES = 64 * _MIB


def prepare(data_dir: Path) -> None:
    """Make the directory, for its owner only, and make sure that it can be written."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except FileExistsError:
        raise StartupError(
            f"The data directory {data_dir} is a file; name another with --data-dir."
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StartupError(
            f"The data directory {data_dir} cannot be written "
            f"({error.strerror}); name another with --data-dir."
        ) from None


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for this process; the kernel lets go if it dies."""
    # Not inheritable, as every descriptor in Python: no child prolongs the lock.
    with (data_dir / "server.lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StartupError(
                f"Another llm-manager server (process {file.read().strip()}) runs on "
                f"the data directory {data_dir}; stop it or name another directory "
                "with --data-dir."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def write_private(path: Path, text: str) -> None:
    """Replace a file's content at once; only its owner can read it."""
    # mkstemp gives mode 0600 from the start.
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
    """Make sure that a file of this size fits. Raises StartupError."""
    free = shutil.disk_usage(directory).free
    if free < size_bytes + SPARE_BYTES:
        raise StartupError(
            f"The disk is full: {directory} has {free // _MIB} MiB left, and "
            f"{(size_bytes + SPARE_BYTES) // _MIB} MiB are needed."
        )
