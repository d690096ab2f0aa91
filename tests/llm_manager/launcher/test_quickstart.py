"""The first start's credentials: made once, kept, and in step with the database."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from accounts import key_secrets as keys
from accounts.models import ApiKey, Scope
from llm_manager.launcher import banner
from llm_manager.launcher.quickstart import (
    Credentials,
    credentials_ensure,
    credentials_file,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:8000/v1"


def ensure(data_dir: Path, base_url: str = URL) -> Credentials:
    return credentials_ensure(data_dir=data_dir, base_url=base_url)


def test_first_start_makes_an_administrator_and_a_key(tmp_path: Path) -> None:
    made = ensure(tmp_path)
    admin = User.objects.get()
    assert admin.username == made.admin_user == "admin"
    assert admin.is_superuser
    assert made.admin_password is not None
    assert admin.check_password(made.admin_password)
    key = ApiKey.objects.get()
    assert key.key_hash == keys.digest(made.api_key)
    assert (key.name, key.owner, key.rate_limit) == ("quickstart", admin, 0)
    assert key.scopes == list(Scope.values)


def test_file_holds_the_four_things_for_its_owner_only(tmp_path: Path) -> None:
    made = ensure(tmp_path)
    file = credentials_file(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "base_url": URL,
        "api_key": made.api_key,
        "admin_user": "admin",
        "admin_password": made.admin_password,
    }


def test_second_start_changes_nothing(tmp_path: Path) -> None:
    first = ensure(tmp_path)
    written = credentials_file(tmp_path).stat()
    assert ensure(tmp_path) == first
    assert credentials_file(tmp_path).stat().st_ino == written.st_ino
    assert (User.objects.count(), ApiKey.objects.count()) == (1, 1)


def test_only_the_address_follows(tmp_path: Path) -> None:
    first = ensure(tmp_path)
    second = ensure(tmp_path, "http://127.0.0.1:8001/v1")
    assert second.base_url == "http://127.0.0.1:8001/v1"
    assert second.api_key == first.api_key
    assert (
        json.loads(credentials_file(tmp_path).read_text(encoding="utf-8"))["base_url"]
        == second.base_url
    )


def test_lost_database_makes_everything_again(tmp_path: Path) -> None:
    first = ensure(tmp_path)
    User.objects.all().delete()
    second = ensure(tmp_path)
    assert second.api_key != first.api_key
    assert second.admin_password != first.admin_password


def test_lost_file_makes_a_key_and_keeps_the_password(tmp_path: Path) -> None:
    ensure(tmp_path)
    before = User.objects.get().password
    credentials_file(tmp_path).unlink()
    again = ensure(tmp_path)
    assert again.admin_password is None
    assert User.objects.get().password == before
    assert ApiKey.objects.count() == 2


def test_deleted_key_is_replaced_and_the_password_stays(tmp_path: Path) -> None:
    first = ensure(tmp_path)
    ApiKey.objects.all().delete()
    second = ensure(tmp_path)
    assert second.api_key != first.api_key
    assert second.admin_password == first.admin_password


@pytest.mark.parametrize("text", ["", "{", "[]", '{"api_key": 1}'])
def test_damaged_file_counts_for_nothing(tmp_path: Path, text: str) -> None:
    credentials_file(tmp_path).write_text(text, encoding="utf-8")
    assert ensure(tmp_path).api_key.startswith("sk-")


def test_curl_command_survives_the_shell(tmp_path: Path) -> None:
    words = shlex.split(banner.curl_command(ensure(tmp_path), "it's a model"))
    assert words[:3] == ["curl", "-N", f"{URL}/chat/completions"]
    body = json.loads(words[words.index("-d") + 1])
    assert body["model"] == "it's a model"
    assert body["stream"] is True


def test_banner_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    lines = banner.quickstart_lines(
        ensure(tmp_path),
        model=None,
        models_dir=tmp_path / "models",
        file=credentials_file(tmp_path),
    )
    assert f"Put GGUF files into {tmp_path / 'models'}" in "\n".join(lines)
