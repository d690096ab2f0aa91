"""Start-up errors, each one sentence that says what to do."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

if TYPE_CHECKING:
    from pathlib import Path

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# SQLite's messages for a full disk: the first when it writes a page, the second when
# it cannot extend the index of its write-ahead log.
_SQLITE_DISK_FULL = ("database or disk is full", "disk I/O error")
_NO_TABLES = ("no such table", "does not exist")


class StartupError(Exception):
    """The server cannot start; the message is one sentence for the operator."""


def disk_full(path: Path | str) -> StartupError:
    """Return the error for a full disk."""
    return StartupError(f"The disk is full: {path} cannot be written. Free some space.")


def explain(error: BaseException, data_dir: Path) -> StartupError | None:
    """Return a StartupError for a known failure, or None for a bug."""
    if isinstance(error, StartupError):
        return error
    if isinstance(error, ImproperlyConfigured):
        return StartupError(str(error))
    if isinstance(error, OSError):
        return _explain_os_error(error, data_dir)
    if isinstance(error, DatabaseError):
        return _explain_database_error(error, data_dir)
    return None


def _explain_os_error(error: OSError, data_dir: Path) -> StartupError | None:
    if error.errno in _DISK_FULL:
        return disk_full(error.filename or data_dir)
    if error.filename is None:
        return None
    return StartupError(f"{error.filename} cannot be used: {error.strerror}.")


def _explain_database_error(error: DatabaseError, data_dir: Path) -> StartupError:
    message = str(error).strip().split("\n", 1)[0]
    if message in _SQLITE_DISK_FULL:
        return disk_full(data_dir)
    if any(phrase in message for phrase in _NO_TABLES):
        return StartupError(
            f"The database is not set up ({message}); run `llm-manager migrate` first."
        )
    return StartupError(f"The database cannot be used: {message.rstrip('.')}.")
