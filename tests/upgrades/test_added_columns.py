"""During an upgrade an older version writes rows beside a newer one."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db.migrations import AddField
from django.db.migrations.loader import MigrationLoader

#: The first migration of each app whose columns an older version does not know.
SINCE = {"accounts": "0021", "inference": "0013", "registry": "0019"}


@pytest.mark.parametrize("app", SINCE)
def test_rows_can_be_written_without_the_columns_that_were_added(app: str) -> None:
    added = [
        apps.get_model(app, operation.model_name)._meta.get_field(operation.name)
        for (of, name), migration in MigrationLoader(None).disk_migrations.items()
        if of == app and name >= SINCE[app]
        for operation in migration.operations
        if isinstance(operation, AddField)
    ]
    assert added
    needed = [
        str(field) for field in added if not field.null and not field.has_db_default()
    ]
    assert needed == []
