"""Quickstart: creates an administrator and an API key, and saves both in a file."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import transaction

from accounts import key_secrets as keys
from accounts.models import ApiKey, Scope
from llm_manager.launcher.data_dir import write_private

if TYPE_CHECKING:
    from pathlib import Path

ADMIN_NAME = "admin"
KEY_NAME = "quickstart"
_PASSWORD_BYTES = 15


@dataclass(frozen=True, slots=True)
class Credentials:
    """The content of quickstart.json."""

    base_url: str
    api_key: str
    admin_user: str
    #: None if the administrator existed before: only a hash is stored.
    admin_password: str | None


def credentials_file(data_dir: Path) -> Path:
    """Return the path of a data directory's credentials."""
    return data_dir / "quickstart.json"


def credentials_ensure(*, data_dir: Path, base_url: str) -> Credentials:
    """Return the credentials, which the first start creates and later ones keep.

    Only ``base_url`` is updated. A file whose key is not in the database, because
    that was deleted or replaced, is ignored.
    """
    file = credentials_file(data_dir)
    kept = _read(file)
    if kept is not None and ApiKey.objects.filter(
        prefix=keys.prefix_of(kept.api_key), key_hash=keys.digest(kept.api_key)
    ):
        current = replace(kept, base_url=base_url)
        if current != kept:
            _write(file, current)
        return current
    # The file is written before the transaction commits. An interruption leaves at most
    # a file without a key, and the next start creates both again.
    with transaction.atomic():
        credentials = _create(base_url, kept)
        _write(file, credentials)
    return credentials


def _create(base_url: str, kept: Credentials | None) -> Credentials:
    User = get_user_model()  # noqa: N806
    admin = User.objects.filter(username=ADMIN_NAME).first()
    password = None
    if admin is None:
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        admin = User.objects.create_superuser(ADMIN_NAME, password=password)
    elif kept and kept.admin_password and admin.check_password(kept.admin_password):
        password = kept.admin_password
    _, api_key = ApiKey.objects.issue(
        name=KEY_NAME,
        owner=admin,
        scopes=list(Scope.values),
        all_models=True,
        rate_limit=0,
    )
    return Credentials(
        base_url=base_url,
        api_key=api_key,
        admin_user=ADMIN_NAME,
        admin_password=password,
    )


def _read(file: Path) -> Credentials | None:
    try:
        return Credentials(**json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write(file: Path, credentials: Credentials) -> None:
    write_private(file, json.dumps(asdict(credentials), indent=2) + "\n")
