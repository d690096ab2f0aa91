"""Write a backup of the database that Django is set up for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection

import llm_manager
from llm_manager.command_line.backing_up.archive import Manifest, drafting
from llm_manager.command_line.backing_up.progress import row_bar
from llm_manager.command_line.backing_up.rows import (
    applied_migrations,
    kept_models,
    one_moment,
    row_lines,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from django.db.models import Model


def write_backup(path: Path) -> Manifest:
    """Write all rows, as they are at one moment, and the secret key.

    Raises CommandFailed.
    """
    models = kept_models()
    with one_moment(), drafting(path) as draft:
        total = sum(model._base_manager.count() for model in models)
        with row_bar(total) as count:
            rows = {
                model._meta.label_lower: draft.add_lines(
                    model._meta.label_lower, _counted(model, count)
                )
                for model in models
            }
        manifest = Manifest(
            version=llm_manager.__version__,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            database=connection.vendor,
            migrations=applied_migrations(),
            rows=rows,
        )
        draft.end(manifest, settings.SECRET_KEY)
    return manifest


def _counted(model: type[Model], count: Callable[[str, int], None]) -> Iterator[str]:
    for line in row_lines(model):
        count(model._meta.label_lower, 1)
        yield line
