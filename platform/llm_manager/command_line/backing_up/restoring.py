"""Put a backup into the database that Django is set up for."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.serializers.base import DeserializationError
from django.db import DatabaseError

from inference.models import EngineNode
from llm_manager.command_line.backing_up.progress import row_bar
from llm_manager.command_line.backing_up.rows import (
    applied_migrations,
    emptied,
    is_unused,
    restore_rows,
)
from llm_manager.command_line.exit_status import CommandFailed
from llm_manager.launcher.data_dir import locked, write_private
from llm_manager.launcher.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_manager.command_line.backing_up.archive import Backup, Manifest


def restore(backup: Backup, *, is_replacing: bool) -> None:
    """Put the rows and the secret key in place, all of them or none.

    ``is_replacing`` is whether what is there may be deleted. Raises CommandFailed.
    """
    with _no_server():
        call_command("migrate", verbosity=0)
        _check_versions(backup.manifest)
        _check_nobody_is_here(is_replacing=is_replacing)
        _check_secret_key(backup.secret_key())
        models = [apps.get_model(label) for label in backup.manifest.rows]
        total = sum(backup.manifest.rows.values())
        try:
            with emptied(models), row_bar(total) as count:
                for label, number in backup.manifest.rows.items():
                    _restore_model(backup, label, number, count)
        except (DatabaseError, DeserializationError) as error:
            raise CommandFailed(f"Nothing was restored: {error}") from error
        if not os.environ.get("LLM_MANAGER_SECRET_KEY"):
            write_private(settings.DATA_DIR / "secret_key", backup.secret_key())


def _restore_model(
    backup: Backup, label: str, number: int, count: Callable[[str, int], None]
) -> None:
    found = 0
    for more in restore_rows(apps.get_model(label), backup.lines(label)):
        count(label, more)
        found += more
    if found != number:
        raise CommandFailed(
            f"The backup is damaged: {found} rows of {label} instead of {number}. "
            "Nothing was restored."
        )


@contextlib.contextmanager
def _no_server() -> Iterator[None]:
    try:
        settings.DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(settings.DATA_DIR):
            yield
    except StartupError as error:
        raise CommandFailed(str(error)) from None


def _check_versions(manifest: Manifest) -> None:
    if manifest.migrations == applied_migrations():
        return
    raise CommandFailed(
        f"The backup is of version {manifest.version}, whose tables are not those of "
        "this version. Restore it with that version, then start this one, which "
        "migrates the database."
    )


def _check_nobody_is_here(*, is_replacing: bool) -> None:
    if names := list(EngineNode.objects.alive().values_list("name", flat=True)):
        raise CommandFailed(
            f"Engines run with this database: {', '.join(names)}. Stop them first."
        )
    if not is_unused() and not is_replacing:
        raise CommandFailed(
            "The database has users, keys or models. --replace deletes all that is in "
            "it first."
        )


def _check_secret_key(theirs: str) -> None:
    given = os.environ.get("LLM_MANAGER_SECRET_KEY")
    if given and given != theirs:
        raise CommandFailed(
            "LLM_MANAGER_SECRET_KEY is not the backup's secret key, and second factors "
            "are encrypted with that. Unset it, or set it to the backup's."
        )
