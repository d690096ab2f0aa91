"""What the database says of itself."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from django.db import connection


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The database: its kind and version, its size, and how long a query takes."""

    kind: str
    version: str
    size_bytes: int
    latency_ms: float


def database_facts() -> DatabaseFacts:
    """Ask the database, in three queries at most. Raises DatabaseError."""
    started = time.perf_counter()
    _number("SELECT 1")
    latency_ms = (time.perf_counter() - started) * 1000
    if connection.vendor == "postgresql":
        version = connection.cursor().connection.info.server_version
        return DatabaseFacts(
            "PostgreSQL",
            f"{version // 10_000}.{version % 10_000}",
            _number("SELECT pg_database_size(current_database())"),
            latency_ms,
        )
    pages = _number("PRAGMA page_count") * _number("PRAGMA page_size")
    return DatabaseFacts("SQLite", sqlite3.sqlite_version, pages, latency_ms)


def _number(query: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])
