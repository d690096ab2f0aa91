"""A database of an earlier state, with rows in every table, is upgraded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps

from tests.factories import make_model
from tests.postgresql import running_postgresql
from tests.upgrades.old_database import PAGES, STATES, lost

if TYPE_CHECKING:
    from pathlib import Path

_DATABASES = [f"state{number}" for number, _ in enumerate(STATES)]


def upgraded(state: str, folder: Path, **environment: str) -> dict[str, Any]:
    """Return what the upgrade of a state's database has found."""
    outside = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LLM_MANAGER_")
        and name not in ("DATABASE_URL", "REDIS_URL")
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.upgrades.old_database", state],
        env={
            **outside,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "DJANGO_SETTINGS_MODULE": "llm_manager.settings",
            "LLM_MANAGER_DATA_DIR": str(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(found: dict[str, Any]) -> None:
    assert found["lost"] == []
    assert found["rows"] >= found["tables"] > 3
    assert found["pages"] == dict.fromkeys(PAGES, 200)


@pytest.mark.django_db
def test_what_is_lost_is_found() -> None:
    model = make_model("m", n_ctx=512)
    kept = {"id": model.pk, "n_ctx": 512}
    assert lost({"registry.model": [kept]}, apps) == []
    assert lost({"registry.model": [{**kept, "n_ctx": 1}]}, apps) == [
        "registry.model.n_ctx: 1 is 512"
    ]
    assert lost({"registry.model": [{"id": 0}], "registry.gone": []}, apps) == [
        "registry.model: no row 0",
        "registry.gone: no table",
    ]


@pytest.mark.long
def test_nothing_is_lost_in_sqlite(tmp_path: Path) -> None:
    # The last state has the most tables; the first one is for PostgreSQL, below.
    *_, state = STATES
    check(upgraded(state, tmp_path))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_nothing_is_lost_in_postgresql(tmp_path: Path) -> None:
    with running_postgresql(*_DATABASES) as url:
        for state, database in zip(STATES, _DATABASES, strict=True):
            folder = tmp_path / database
            folder.mkdir()
            check(upgraded(state, folder, DATABASE_URL=url.format(database)))
