"""After a test that commits, only the tables that it has written are emptied.

Django's flush empties every table, and then makes the rows again that came with the
migrations: those of permissions and content types. Most tests take less time than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management import call_command
from django.db import connection, transaction
from django.test import TransactionTestCase

if TYPE_CHECKING:
    from collections.abc import Iterable


class DatabaseAtStart:
    """The database as its migrations leave it, and as every test finds it."""

    def __init__(self) -> None:
        tables = connection.introspection.django_table_names(
            only_existing=True, include_views=False
        )
        filled = _filled(tables)
        self._empty = sorted({*tables} - filled)
        self._rows = {table: _rows(table) for table in filled}

    def restore(self) -> None:
        """Delete what a test has added, and make again what it has changed."""
        if any(_rows(table) != rows for table, rows in self._rows.items()):
            call_command("flush", verbosity=0, interactive=False, reset_sequences=False)
            self._rows = {table: _rows(table) for table in self._rows}
            return
        with transaction.atomic(), connection.cursor() as cursor:
            # Foreign keys are checked at the end, so any order will do.
            for table in _filled(self._empty):
                cursor.execute(f"DELETE FROM {_quoted(table)}")  # noqa: S608


def install() -> None:
    """Take the database as it is now for the start of every test."""
    start = DatabaseAtStart()

    def teardown(_test: TransactionTestCase) -> None:
        start.restore()

    TransactionTestCase._fixture_teardown = teardown  # type: ignore[attr-defined]


def _filled(tables: Iterable[str]) -> set[str]:
    """Return those of the tables that have rows."""
    asked = " UNION ALL ".join(
        f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {_quoted(table)})"  # noqa: S608
        for table in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(asked)
        return {table for (table,) in cursor.fetchall()}


def _rows(table: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {_quoted(table)} ORDER BY 1")  # noqa: S608
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _quoted(table: str) -> str:
    return connection.ops.quote_name(table)
