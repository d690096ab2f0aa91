"""A backup of a lived-in installation, and its way back."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Group, Permission, User

from accounts.models import ApiKey
from inference.models import EngineNode
from llm_manager import cli
from llm_manager.command_line.backing_up.archive import Backup
from tests.e2e.demo import populate
from tests.factories import (
    make_api_key,
    make_model,
    make_node,
    make_team,
    make_user,
)
from tests.postgresql import running_postgresql

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import Settings

#: What a new database must be able to do after it was restored.
_GOES_ON = """
import django
django.setup()
from django.contrib.auth.models import User
print(User.objects.create(username="the next one").pk)
"""


@pytest.fixture
def installation(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    transactional_db: None,
    settings: Settings,
) -> User:
    """A database with users, keys, models, and who changed them."""
    monkeypatch.setattr("llm_manager.command_line.local_rows.has_database", lambda _: 1)
    settings.DATA_DIR = tmp_path
    admin = make_user("admin", is_staff=True, is_superuser=True)
    group = Group.objects.create(name="viewers")
    group.permissions.set(Permission.objects.filter(codename__startswith="view_"))
    admin.groups.add(group)
    key, _ = make_api_key(admin, team=make_team("research", admin))
    key.allowed_models.add(make_model("tiny"), make_model("small"))
    return admin


def rows(path: Path) -> dict[str, list[dict[str, object]]]:
    backup = Backup(path)
    return {
        model: [json.loads(line) for line in backup.lines(model)]
        for model in backup.manifest.rows
    }


@pytest.mark.usefixtures("installation")
def test_what_is_restored_is_what_was_there(tmp_path: Path) -> None:
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    assert cli.run(["backup", str(first)]) == 0
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    ApiKey.objects.all().delete()
    User.objects.update(email="somebody@else")
    assert cli.run(["restore", str(first), "--replace", "--yes"]) == 0
    assert cli.run(["backup", str(second)]) == 0
    assert rows(second) == rows(first)
    assert [row["model"] for row in rows(first)["accounts.apikey"]]
    assert rows(first)["auditlog.logentry"]


@pytest.mark.usefixtures("installation")
def test_nothing_is_deleted_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "backup.zip"
    assert cli.run(["backup", str(path)]) == 0
    assert cli.run(["backup", str(path)]) == 1
    assert "is there already" in capsys.readouterr().err
    number = ApiKey.objects.count()
    assert cli.run(["restore", str(path)]) == 1
    assert "--replace deletes all that is in it" in capsys.readouterr().err
    make_node("gpu-box")
    assert cli.run(["restore", str(path), "--replace", "--yes"]) == 1
    assert "Engines run with this database: gpu-box." in capsys.readouterr().err
    assert ApiKey.objects.count() == number


@pytest.mark.usefixtures("installation")
def test_a_damaged_backup_restores_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, damaged = tmp_path / "whole.zip", tmp_path / "damaged.zip"
    assert cli.run(["backup", str(whole)]) == 0
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(damaged, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "rows/registry.model.jsonl":
                content = b"".join(content.splitlines(keepends=True)[:-1])
            target.writestr(name, content)
    User.objects.update(email="somebody@else")
    assert cli.run(["restore", str(damaged), "--replace", "--yes"]) == 1
    assert "damaged" in capsys.readouterr().err
    assert set(User.objects.values_list("email", flat=True)) == {"somebody@else"}

    other = tmp_path / "other.zip"
    other.write_bytes(b"no zip")
    assert cli.run(["restore", str(other)]) == 1
    assert "is no backup of LLM Manager" in capsys.readouterr().err


@pytest.mark.usefixtures("installation")
def test_a_backup_of_other_tables_is_for_its_own_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, older = tmp_path / "backup.zip", tmp_path / "older.zip"
    assert cli.run(["backup", str(path)]) == 0
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(older, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "manifest.json":
                manifest = json.loads(content)
                manifest["migrations"] = manifest["migrations"][1:]
                content = json.dumps(manifest).encode()
            target.writestr(name, content)
    assert cli.run(["restore", str(older), "--replace", "--yes"]) == 1
    assert "Restore it with that version" in capsys.readouterr().err


@pytest.mark.usefixtures("installation")
def test_another_secret_key_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "backup.zip"
    assert cli.run(["backup", str(path)]) == 0
    monkeypatch.setenv("LLM_MANAGER_SECRET_KEY", "of another machine")
    assert cli.run(["restore", str(path), "--replace", "--yes"]) == 1
    assert "LLM_MANAGER_SECRET_KEY is not" in capsys.readouterr().err


@pytest.mark.long
def test_from_sqlite_to_postgresql_and_back_nothing_changes(
    installation: User, tmp_path: Path
) -> None:
    populate(installation)
    # Only what stands still can be restored.
    EngineNode.objects.all().delete()
    first, second, third = (tmp_path / f"{name}.zip" for name in "abc")
    assert cli.run(["backup", str(first)]) == 0

    def llm_manager(*words: str, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "DJANGO_SETTINGS_MODULE": "llm_manager.settings",
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    module = ("-m", "llm_manager")
    with running_postgresql("restored") as url:
        there = {
            "DATABASE_URL": url.format("restored"),
            "LLM_MANAGER_DATA_DIR": str(tmp_path / "postgresql"),
        }
        llm_manager(*module, "restore", str(first), **there)
        llm_manager(*module, "backup", str(second), **there)
        number = int(llm_manager("-c", _GOES_ON, **there))
    assert rows(second) == rows(first)
    assert number > max(int(str(row["pk"])) for row in rows(first)["auth.user"])
    here = {"LLM_MANAGER_DATA_DIR": str(tmp_path / "sqlite")}
    llm_manager(*module, "restore", str(second), **here)
    llm_manager(*module, "backup", str(third), **here)
    assert rows(third) == rows(first)
    assert rows(first)["accounts.usagerecord"]
    key = (tmp_path / "sqlite" / "secret_key").read_text()
    assert key == Backup(first).secret_key()
