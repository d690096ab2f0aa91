"""Rows of usage that nobody asked for, made by the database itself."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import UsageDay, UsageRecord
from accounts.record_id import new_id
from accounts.usage.points import points_add
from registry.models import FileState, Kind, Model

#: Two days of a million rows: their points are added to once.
_CHUNK = 20_000
_DAY_MS = 86_400_000
_SUBJECT = ("key_id", "owner_id", "team_id", "model_id")
_NAMES = ("key_prefix", "key_name", "owner_name", "team_name", "model_name")
_COUNTS = ("prompt_tokens", "cached_tokens", "completion_tokens")

#: What the two databases write differently: a series of numbers, and of a time in
#: milliseconds ``ms`` the start of an id and the time itself.
_SERIES = {
    "sqlite": "(WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s "
    "WHERE n + 1 < {rows}) SELECT n FROM s)",
    "postgresql": "(SELECT generate_series(0, {rows} - 1)::bigint AS n)",
}
_ID = {
    "sqlite": "printf('%012x7%03x8%015x', ms, n % 4096, n)",
    "postgresql": "(lpad(to_hex(ms), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0')"
    " || '8' || lpad(to_hex(n), 15, '0'))::uuid",
}
_TIME = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', ms / 1000.0, 'unixepoch')",
    "postgresql": "to_timestamp(ms / 1000.0)",
}
#: Half of the requests are of all keys alike. Of the others half are of one key, a
#: sixth of the next, and so on.
_KEY = (
    "CASE n % 2 WHEN 0 THEN 1 + n * 7919 % 1000003 % 1000 "
    "ELSE 1 + 1000003 / (1 + n * 7919 % 1000003) % 1000 END"
)
#: Of each hundred requests one is refused by a limit.
_IS_BAD = "n * 15485863 % 1000003 % 100 = 0"
_COLUMNS = {
    "request_id": "md5('' || n)",
    "endpoint": "CASE WHEN n % 100003 = 0 THEN 'rerank' WHEN n % 10 = 0 "
    "THEN 'embeddings' ELSE 'chat-completions' END",
    "key_id": "key",
    "key_prefix": "'sk-llmm-' || key",
    "key_name": "'key ' || key",
    "owner_id": "key % 200 + 1",
    "owner_name": "'owner ' || (key % 200 + 1)",
    "team_id": "key % 20 + 1",
    "team_name": "'team ' || (key % 20 + 1)",
    "model_id": "model",
    "model_name": "'model ' || model",
    "model_asked": "'model ' || model",
    "status": "CASE WHEN is_bad THEN 429 ELSE 200 END",
    "failed": "is_bad",
    "prompt_tokens": "CASE WHEN is_bad THEN 0 ELSE tokens END",
    "cached_tokens": "CASE WHEN is_bad THEN 0 ELSE tokens / 2 END",
    "completion_tokens": "CASE WHEN is_bad THEN 0 ELSE tokens / 4 END",
    "queue_ms": "3",
    "first_token_ms": "CASE WHEN is_bad THEN NULL ELSE 40 + n * 48611 % 4001 END",
    "duration_ms": "6000",
    "tokens_per_second": "CASE WHEN is_bad THEN NULL ELSE 5.0 + n * 7433 % 151 END",
    "node": "'node-' || (1 + n % 4)",
    "replica": "0",
    "client_address": "'10.0.0.1'",
    "limit_name": "CASE WHEN is_bad THEN 'tokens_day key' ELSE '' END",
    "finish_reason": "CASE WHEN is_bad THEN '' ELSE 'stop' END",
    "is_stream": "TRUE",
    "cost": "tokens",
}


def make_rows(rows: int, days: int) -> None:
    """Insert so many rows evenly over the last days, and the sums of these days.

    The same rows each time, but for their times: a thousand keys, 200 owners, 20
    teams, ten models. Days are those of UTC.
    """
    now_ms = int(timezone.now().timestamp() * 1000)
    first_ms = now_ms - days * _DAY_MS
    vendor = connection.vendor
    values = {
        **_defaults(UsageRecord),
        "id": _ID[vendor],
        "time": _TIME[vendor],
        **_COLUMNS,
    }
    numbered = f"""
        SELECT n, {first_ms} + n * {days * _DAY_MS} / {rows} AS ms,
               {_KEY} AS key, 1 + n * 104729 % 99991 % 10 AS model,
               n * 31337 % 2003 AS tokens, {_IS_BAD} AS is_bad
        FROM {_SERIES[vendor].format(rows=rows)} AS series"""  # noqa: S608 - numbers
    sums = {
        **_defaults(UsageDay),
        "day": "date(time)",
        **{name: name for name in _SUBJECT},
        "requests": "count(*)",
        "failed": "sum(CASE WHEN failed THEN 1 ELSE 0 END)",
        **{name: f"sum({name})" for name in (*_COUNTS, "cost")},
        **{name: f"max({name})" for name in _NAMES},
    }
    groups = ", ".join(("date(time)", *_SUBJECT))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {UsageRecord._meta.db_table} ({', '.join(values)}) "  # noqa: S608
            f"SELECT {', '.join(values.values())} FROM ({numbered}) AS numbered"
        )
        cursor.execute(
            f"INSERT INTO {UsageDay._meta.db_table} "  # noqa: S608 - names of ours
            f"({', '.join(sums)}) SELECT {', '.join(sums.values())} "
            f"FROM {UsageRecord._meta.db_table} GROUP BY {groups}"
        )


def _defaults(model: type[UsageRecord | UsageDay]) -> dict[str, str]:
    """Return the columns of a table that have a default, and that as SQL."""
    defaults = {
        field.attname: field.get_default()
        for field in model._meta.concrete_fields
        if not field.primary_key
    }
    return {name: _literal(value) for name, value in defaults.items()}


def _literal(value: str | float | None) -> str:
    if value is None:
        return "NULL"
    return f"'{value}'" if isinstance(value, str) else str(value).upper()


def make_points() -> None:
    """Insert the points of all rows, as their ingestion would."""
    columns = (
        *("time", "failed", *_SUBJECT, *_NAMES, "prompt_tokens", "completion_tokens"),
        *("first_token_ms", "tokens_per_second"),
    )
    rows = UsageRecord.objects.order_by("pk").values(*columns)
    part: list[dict[str, Any]] = []
    for row in rows.iterator(chunk_size=_CHUNK):
        part.append(row)
        if len(part) == _CHUNK:
            _add(part)
            part = []
    _add(part)


def _add(rows: list[dict[str, Any]]) -> None:
    with transaction.atomic():
        points_add(rows)


def make_models(count: int) -> None:
    """Insert models, half of them without a file."""
    Model.objects.bulk_create(
        Model(
            name=f"model-{number}",
            kind=Kind.CHAT,
            state=FileState.MISSING if number % 2 else FileState.FOUND,
            path=f"/models/model-{number}.gguf",
            file_name=f"model-{number}.gguf",
            file_size=5 * 2**30,
            mtime_ns=1,
            fingerprint=f"{number:064x}",
            architecture="llama",
            quantization="Q4_K_M",
            context_length=131_072,
            embedding_length=4096,
            kv_elements_per_token=65_536,
            vocab_size=128_256,
        )
        for number in range(count)
    )


def entries_like_newest(count: int) -> list[dict[str, Any]]:
    """Return entries of a journal that are like the newest rows, and come now."""
    time = timezone.now() - timedelta(seconds=count / 1000)
    start = time.timestamp()
    entries = []
    for number, row in enumerate(UsageRecord.objects.order_by("-pk").values()[:count]):
        at = start + number / 1000
        new = {"id": str(new_id(at)), "time": at, "request_id": uuid.uuid4().hex}
        entries.append({**row, **new})
    return entries
