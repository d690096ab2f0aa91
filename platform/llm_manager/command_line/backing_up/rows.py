"""Every row of the database as JSON, in an order in which it can be restored."""

from __future__ import annotations

import json
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from auditlog.context import disable_auditlog
from django.apps import apps
from django.core import serializers
from django.core.management.color import no_style
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.models import Model

#: Tables that `migrate` fills.
_MADE_BY_MIGRATE = frozenset({"auth.permission", "contenttypes.contenttype"})
#: What is true of running processes only: sessions are logins; engines write the rows
#: of nodes and workers again.
_RUNNING = frozenset(
    {
        "inference.enginenode",
        "inference.rpcserver",
        "inference.runningrequest",
        "inference.stoporder",
        "inference.worker",
        "registry.modelcopy",
        "sessions.session",
    }
)
#: A database without rows of these has not been used.
_USED = ("auth.User", "accounts.ApiKey", "registry.Model")
#: Rows that are read, and written, at once.
_CHUNK = 2000
_BATCH = 500


class _Encoder(DjangoJSONEncoder):
    """Django's, with microseconds: theirs are cut to milliseconds."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if hasattr(o, "isoformat") else super().default(o)


def kept_models() -> list[type[Model]]:
    """Return the models whose rows are kept, each after those that name its rows."""
    configs = [(config, None) for config in apps.get_app_configs()]
    found: list[type[Model]] = serializers.sort_dependencies(configs, allow_cycles=True)
    left_out = _MADE_BY_MIGRATE | _RUNNING
    return [model for model in found if model._meta.label_lower not in left_out]


def applied_migrations() -> list[str]:
    """Return the migrations of the database, as ``app.name``."""
    applied = MigrationRecorder(connection).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in applied)


def is_unused() -> bool:
    """Whether the database has no user, key or model."""
    return not any(apps.get_model(name)._default_manager.exists() for name in _USED)


@contextmanager
def one_moment() -> Iterator[None]:
    """Have all reads see the database as it is at the first; writers go on."""
    if connection.vendor == "sqlite":
        # Not by `atomic`: its IMMEDIATE would keep writers out.
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def row_lines(model: type[Model]) -> Iterator[str]:
    """Yield each row of a model as a line of JSON."""
    rows = model._base_manager.order_by("pk")
    for row in rows.iterator(chunk_size=_CHUNK):
        (value,) = serializers.serialize("python", [row], use_natural_foreign_keys=True)
        yield json.dumps(value, cls=_Encoder, ensure_ascii=False)


@contextmanager
def emptied(models: list[type[Model]]) -> Iterator[None]:
    """Empty the database for rows that are restored; all of it happens, or nothing.

    The next row of each model gets a number after the restored ones.
    """
    with transaction.atomic(), disable_auditlog():
        connection.ops.execute_sql_flush(
            connection.ops.sql_flush(no_style(), _filled_tables(), allow_cascade=True)
        )
        yield
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), models):
                cursor.execute(statement)


def restore_rows(model: type[Model], lines: Iterable[str]) -> Iterator[int]:
    """Insert rows as they were, with their ids and times; yield how many at a time."""
    is_stamped = any(
        getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
        for field in model._meta.concrete_fields
    )
    rows = serializers.deserialize("jsonl", lines)
    while batch := list(islice(rows, _BATCH)):
        if is_stamped:
            # One by one: raw rows alone keep the times that they have.
            for row in batch:
                row.object.save_base(raw=True, force_insert=True)
        else:
            model._base_manager.bulk_create(row.object for row in batch)
        for row in batch:
            for name, values in (row.m2m_data or {}).items():
                getattr(row.object, name).set(values)
        yield len(batch)


def _filled_tables() -> list[str]:
    kept = {apps.get_model(name)._meta.db_table for name in _MADE_BY_MIGRATE}
    tables = connection.introspection.django_table_names(only_existing=True)
    return sorted(set(tables) - kept)
