"""Synthetic rows of usage, and how long the pages' queries take among them."""

from __future__ import annotations

import random
import statistics
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.utils import timezone

from accounts.admin.usage import MAX_LISTED
from accounts.models import UsageDay, UsageRecord
from accounts.record_id import new_id
from accounts.usage.ingestion import store
from accounts.usage.pruning import usage_prune
from accounts.usage.summary import UsagePeriod, today, usage_summary
from accounts.usage.totals import spent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

_KEYS, _OWNERS, _TEAMS, _MODELS = 1000, 200, 20, 10
_DAYS = 89
_BATCH = 250
_ROUNDS = 5
_PAGE = 50


def print_times(console: Console, rows: int) -> None:
    """Store so many rows, then print what each query of the pages takes."""
    start = perf_counter()
    for batch in _batches(rows):
        store(batch)
    spent_s = perf_counter() - start
    console.print(
        f"{connection.vendor}: {rows:,} rows stored in {spent_s:.0f} s "
        f"({rows / spent_s:,.0f}/s), {UsageDay.objects.count():,} sums of days."
    )
    for name, query in _queries().items():
        times = [_seconds(query) for _ in range(_ROUNDS)]
        console.print(f"| {name} | {statistics.median(times) * 1000:.1f} ms |")
    for name, rows_of in _plans().items():
        console.print(f"{name}: {rows_of.explain()}", markup=False, soft_wrap=True)


def _batches(rows: int) -> Iterator[list[dict[str, Any]]]:
    """Yield entries of the last days in the order of time."""
    chance = random.Random(1)
    first = (timezone.now() - timedelta(days=_DAYS)).timestamp()
    step = _DAYS * 86_400 / rows
    for start in range(0, rows, _BATCH):
        yield [
            _entry(chance, first + step * number)
            for number in range(start, min(start + _BATCH, rows))
        ]


def _entry(chance: random.Random, time: float) -> dict[str, Any]:
    key = int(chance.paretovariate(1)) % _KEYS + 1
    model = chance.randrange(_MODELS) + 1
    is_bad = chance.random() < 0.01
    prompt, completion = chance.randrange(2000), chance.randrange(500)
    return {
        "id": str(new_id(time)),
        "time": time,
        "request_id": f"{chance.getrandbits(128):032x}",
        "endpoint": "chat-completions",
        "key_id": key,
        "key_prefix": f"sk-llmm-{key:012x}",
        "key_name": f"key {key}",
        "owner_id": key % _OWNERS + 1,
        "owner_name": f"owner {key % _OWNERS}",
        "team_id": key % _TEAMS + 1,
        "team_name": f"team {key % _TEAMS}",
        "model_id": model,
        "model_name": f"model {model}",
        "model_asked": f"model {model}",
        "status": 429 if is_bad else 200,
        "prompt_tokens": 0 if is_bad else prompt,
        "cached_tokens": 0 if is_bad else prompt // 2,
        "completion_tokens": 0 if is_bad else completion,
        "queue_ms": 3,
        "first_token_ms": 90,
        "duration_ms": 2000,
        "tokens_per_second": 40.0,
        "node": "node-1",
        "replica": 0,
        "client_address": "10.0.0.1",
    }


def _plans() -> dict[str, Any]:
    """Return the rows of the pages' lists, whose plans are worth a look."""
    records = UsageRecord.objects.order_by("-pk")
    now = timezone.now()
    return {
        "newest requests": records[:_PAGE],
        "of one key": records.filter(key_id=500)[:_PAGE],
        "of one key, last 7 days": records.filter(key_id=2).since(
            now - timedelta(days=7)
        )[:_PAGE],
        "refused by a limit": records.filter(failed=True, status=429)[:_PAGE],
        "by x-request-id": records.filter(request_id="0" * 32),
        "older than 90 days": records.before(now - timedelta(days=90))[:_PAGE],
    }


def _queries() -> dict[str, Callable[[], object]]:
    month = UsagePeriod(today() - timedelta(days=30), today())
    lists = {
        f"list: {name}": (lambda rows=rows: list(rows.all()))
        for name, rows in _plans().items()
    }
    return {
        **lists,
        "list: how many there are, 10,000 at most": UsageRecord.objects.all()[
            :MAX_LISTED
        ].count,
        "30 days by day": lambda: usage_summary(month, ["day"]),
        "30 days by key": lambda: usage_summary(month, ["key"]),
        "30 days by day and model of one key": lambda: usage_summary(
            month, ["day", "model"], key=f"sk-llmm-{2:012x}"
        ),
        "a key's budget of a month": lambda: spent(month.since, key=2),
        "look for old rows": usage_prune,
    }


def _seconds(query: Callable[[], object]) -> float:
    start = perf_counter()
    query()
    return perf_counter() - start
