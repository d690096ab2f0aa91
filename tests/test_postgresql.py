"""What the database decides, decided by PostgreSQL as well as by SQLite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.server import running
from tests.postgresql import running_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
#: Threads of a test's event loop may hold a connection to the end; the whole
#: server is thrown away, so that its test database cannot be dropped is no matter.
LEFT_OPEN = "ignore:Error when trying to teardown test databases:pytest.PytestWarning"
#: Where rows are claimed, counted, kept unique or compared under concurrency.
DATABASE_TESTS = [
    "tests/accounts/test_authentication.py",
    "tests/accounts/test_create_api_key.py",
    "tests/inference/test_services.py",
    "tests/inference/test_supervisor.py",
    "tests/registry/test_model_scan.py",
    "tests/registry/test_scan_models.py",
]


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[str]:
    """The URL of a PostgreSQL server of this module's own."""
    with running_postgresql() as url:
        yield url


def test_the_database_tests_pass_on_postgresql(postgresql_url: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-W", LEFT_OPEN, *DATABASE_TESTS],
        cwd=ROOT,
        env={**os.environ, "TEST_DATABASE_URL": postgresql_url},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:]
    assert " passed" in result.stdout


@pytest.mark.e2e
def test_the_whole_server_runs_on_postgresql(
    postgresql_url: str, tmp_path: Path
) -> None:
    with running(
        tmp_path,
        DJANGO_SETTINGS_MODULE="llm_manager.settings",
        DATABASE_URL=postgresql_url,
    ) as server:
        assert server.key
    assert not (tmp_path / "db.sqlite3").exists()
