"""What the database decides, decided by PostgreSQL as well as by SQLite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.postgresql import running_postgresql
from tests.whole_server import running

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
#: The threads beside a test's event loop keep their connections when it ends, and
#: psycopg warns of that; the whole server is thrown away, so it is no matter.
LEFT_OPEN = (
    "ignore:Error when trying to teardown test databases:pytest.PytestWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::ResourceWarning",
)
#: Where rows are claimed, counted, kept unique or compared under concurrency.
DATABASE_TESTS = [
    "tests/accounts/keys/test_authentication.py",
    "tests/accounts/keys/test_live_keys.py",
    "tests/accounts/test_create_api_key.py",
    "tests/accounts/test_once_forms.py",
    "tests/accounts/files/test_quota.py",
    "tests/accounts/limits/test_login.py",
    "tests/accounts/usage/test_ingestion.py",
    "tests/inference/test_services.py",
    "tests/inference/node/test_supervisor.py",
    "tests/llm_manager/web/pages/test_null_characters.py",
    "tests/registry/scan/test_model_scan.py",
    "tests/registry/test_scan_models.py",
    "tests/test_emptying.py",
]


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[str]:
    """The URL of a PostgreSQL server of this module's own, {} for the database."""
    with running_postgresql("rows", "server", "empty") as url:
        yield url


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_database_tests_pass_on_postgresql(postgresql_url: str) -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x"),
            *(option for warning in LEFT_OPEN for option in ("-W", warning)),
            *DATABASE_TESTS,
        ],
        cwd=ROOT,
        env={**os.environ, "TEST_DATABASE_URL": postgresql_url.format("rows")},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:]
    assert " passed" in result.stdout


@pytest.mark.e2e
@pytest.mark.model
def test_the_whole_server_runs_on_postgresql_with_several_web_processes(
    postgresql_url: str, tmp_path: Path
) -> None:
    with (
        running(
            tmp_path,
            DJANGO_SETTINGS_MODULE="llm_manager.settings",
            DATABASE_URL=postgresql_url.format("server"),
            LLM_MANAGER_SERVER_WORKERS="2",
        ) as server,
        httpx.Client(
            base_url=f"http://{server.host}:{server.port}",
            headers={"Authorization": f"Bearer {server.key}"},
            timeout=60,
            trust_env=False,
        ) as api,
    ):
        (model,) = (model["id"] for model in api.get("/v1/models").json()["data"])
        answer = api.post(
            "/v1/completions", json={"model": model, "prompt": "1, 2,", "max_tokens": 4}
        )
        assert answer.status_code == 200, answer.text
        # A connection stays with its web process; a new one may meet the other.
        for _ in range(8):
            metrics = httpx.get(
                api.base_url.join("/metrics"), headers=api.headers, trust_env=False
            ).text
            assert f'llm_requests_total{{model="{model}",status="200"}} 1.0' in metrics
    assert not (tmp_path / "db.sqlite3").exists()


@pytest.mark.long
def test_machines_that_start_on_an_empty_database_migrate_one_after_the_other(
    postgresql_url: str, tmp_path: Path
) -> None:
    code = (
        "from llm_manager.launcher import project;"
        "project.project_set_up(); project.database_migrate(); print('migrated')"
    )
    machines = []
    for name in ("a", "b", "c"):
        folder = tmp_path / name
        folder.mkdir()
        machines.append(
            subprocess.Popen(
                [sys.executable, "-c", code],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                    "DATABASE_URL": postgresql_url.format("empty"),
                    "LLM_MANAGER_DATA_DIR": str(folder),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for machine in machines:
        output, errors = machine.communicate(timeout=120)
        assert machine.returncode == 0, errors
        assert "migrated" in output
