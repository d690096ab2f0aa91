"""SQLite in memory, which all threads of a test process share, waits for locks too.

SQLite's time-out is for files: connections that share a memory are refused at once what
another one writes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.db import OperationalError
from django.db.backends.signals import connection_created

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMEOUT_S = 20.0
_PAUSE_S = 0.005
_REFUSAL = "table is locked"


class _Waiting:
    """Whether statements wait. In a test's own transaction nobody can wait for it."""

    is_on = False


def wait_for_locks(*, is_on: bool) -> None:
    """Have statements wait for what other threads write, or not."""
    _Waiting.is_on = is_on


def install() -> None:
    """Have each new connection to SQLite wait when ``wait_for_locks`` says so."""
    connection_created.connect(_prepare, weak=False)


def _prepare(connection: Any, **_: Any) -> None:
    if connection.vendor == "sqlite" and _execute not in connection.execute_wrappers:
        connection.execute_wrappers.append(_execute)


def _execute(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
) -> Any:
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return execute(sql, params, many, context)
        except OperationalError as error:
            is_late = time.monotonic() > deadline
            if not _Waiting.is_on or is_late or _REFUSAL not in str(error):
                raise
        time.sleep(_PAUSE_S)
