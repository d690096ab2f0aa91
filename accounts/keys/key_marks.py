"""Marks of keys: while one has not changed, its key may do what it might before.

A mark has every column that decides about a key's use, and counts and newest rows of
the lists of models, so that no list is read. Ids of rows are never used again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Count, Max, OuterRef, Subquery

from accounts.keys.key_access import keys_with_access
from accounts.models import ApiKey, Team

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.db.models import Model

    #: Columns as the database returns them: to be compared, and for nothing else.
    Mark = tuple[Any, ...]

_COLUMNS = (
    *("is_active", "expires_at", "scopes", "all_models"),
    *("team_id", "team__all_models", "owner__is_active", "owner_is_member"),
)


def key_marks(prefixes: Collection[str]) -> dict[str, Mark]:
    """Return the marks of the keys that exist, by prefix, in one query."""
    sql, parameters = _query(frozenset(prefixes))
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return {prefix: tuple(mark) for prefix, *mark in cursor.fetchall()}


@lru_cache(maxsize=64)
def _query(prefixes: frozenset[str]) -> tuple[str, tuple[Any, ...]]:
    """Return the SQL, which takes longer to write than to execute."""
    keys = keys_with_access().filter(prefix__in=prefixes).order_by()
    lists: dict[str, Subquery] = {}
    for name, through, of in (
        ("own", ApiKey.allowed_models.through, {"apikey": OuterRef("pk")}),
        ("teams", Team.allowed_models.through, {"team": OuterRef("team")}),
    ):
        lists[f"{name}_count"] = _over(through, of, Count("pk"))
        lists[f"{name}_newest"] = _over(through, of, Max("pk"))
    query = keys.annotate(**lists).values_list("prefix", *_COLUMNS, *lists).query
    return query.sql_with_params()


def _over(rows: type[Model], of: dict[str, OuterRef], what: Count | Max) -> Subquery:
    """Return a number over the rows of one key or team."""
    # Grouped by the key itself, which is one group.
    (name,) = of
    grouped = rows._default_manager.filter(**of).order_by().values(name)
    return Subquery(grouped.annotate(number=what).values("number"))
