"""Known failures are sentences; unknown ones stay what they are."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, OperationalError, ProgrammingError

from llm_manager.launcher.errors import StartupError, explain

DATA_DIR = Path("/data")
FULL = "The disk is full: /data cannot be written. Free some space."


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (StartupError("Said already."), "Said already."),
        (ImproperlyConfigured("Wrong."), "Wrong."),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), FULL),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), FULL),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/models/x"),
            "The disk is full: /models/x cannot be written. Free some space.",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/models"),
            "/models cannot be used: Permission denied.",
        ),
        (OperationalError("database or disk is full"), FULL),
        (OperationalError("disk I/O error"), FULL),
        (
            OperationalError("no such table: auth_user"),
            "The database is not set up (no such table: auth_user); run "
            "`llm-manager migrate` first.",
        ),
        (
            ProgrammingError('relation "auth_user" does not exist\nLINE 1: SELECT'),
            'The database is not set up (relation "auth_user" does not exist); run '
            "`llm-manager migrate` first.",
        ),
        (
            OperationalError("connection failed: refused\n\tIs the server running?"),
            "The database cannot be used: connection failed: refused.",
        ),
        (DatabaseError("odd."), "The database cannot be used: odd."),
    ],
)
def test_known_failure_is_a_sentence(error: Exception, sentence: str) -> None:
    assert str(explain(error, DATA_DIR)) == sentence


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("without a file")])
def test_bug_stays_a_bug(error: Exception) -> None:
    assert explain(error, DATA_DIR) is None
