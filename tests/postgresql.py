"""A private PostgreSQL server for tests."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks.systems import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running_postgresql(*databases: str) -> Iterator[str]:
    """Start a server with these databases; yield its URL with {} for the name.

    It listens on a Unix socket. Skips the test where there is no PostgreSQL.
    """
    if not postgresql.is_there():
        pytest.skip(postgresql.MISSING)
    with postgresql.running_postgresql(*databases) as running:
        yield running.url("{}")
