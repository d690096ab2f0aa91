"""Synthetic rows of usage, and how long the pages' queries take among them."""

from __future__ import annotations

import statistics
from datetime import timedelta
from functools import partial
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.admin.usage.lists import MAX_LISTED
from accounts.models import PointSubject, UsageDay, UsagePoint, UsageRecord
from accounts.usage.charts import CHART_PERIODS, CHART_SUBJECTS, usage_series
from accounts.usage.ingestion import store
from accounts.usage.pruning import usage_prune
from accounts.usage.summary import UsagePeriod, today, usage_summary
from accounts.usage.totals import spent
from benchmarks.workloads.synthetic_usage import (
    entries_like_newest,
    make_models,
    make_points,
    make_rows,
)
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

_DAYS = 89
_ROUNDS = 5
_PAGE = 50
_MODELS = 500
_STORED = 5_000
_BATCH = 250


def print_times(console: Console, rows: int) -> None:
    """Make so many rows, then print what each query and page takes among them."""
    make_rows(rows, _DAYS)
    make_points()
    make_models(_MODELS)
    while usage_prune():
        pass
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    console.print(
        f"{connection.vendor}: {rows:,} rows, {UsageDay.objects.count():,} sums of "
        f"days, {UsagePoint.objects.count():,} points of charts, {_MODELS} models"
    )
    for name, work in {**_queries(), **_pages()}.items():
        work()  # What a process makes once, as templates, it has made.
        rounds = [_times(work) for _ in range(_ROUNDS)]
        wall_s, cpu_s = map(statistics.median, zip(*rounds, strict=True))
        console.print(f"| {name} | {wall_s * 1000:.1f} ms | {cpu_s * 1000:.1f} ms |")
    entries = entries_like_newest(_STORED)
    batches = [entries[at : at + _BATCH] for at in range(0, _STORED, _BATCH)]
    stored_s = sum(_times(partial(store, batch))[0] for batch in batches)
    console.print(f"{_STORED / stored_s:,.0f} more rows a second, {_BATCH} at once")
    for name, rows_of in _plans().items():
        console.print(f"{name}: {rows_of.explain()}", markup=False, soft_wrap=True)


def _plans() -> dict[str, Any]:
    """Return the rows of the pages' lists, whose plans are worth a look."""
    records = UsageRecord.objects.order_by("-pk")
    days = UsageDay.objects.order_by("-day", "-pk")
    month = days.filter(day__gte=today() - timedelta(days=30))
    now = timezone.now()
    return {
        "newest requests": records[:_PAGE],
        "of one key": records.filter(key_id=500)[:_PAGE],
        "of one key, last 7 days": records.filter(key_id=2).since(
            now - timedelta(days=7)
        )[:_PAGE],
        "refused by a limit": records.filter(failed=True, status=429)[:_PAGE],
        "by x-request-id": records.filter(request_id="0" * 32),
        "days": days[:_PAGE],
        "days of a team, last 30": month.filter(team_id=3)[:_PAGE],
        "days of a key, last 30": month.filter(key_id=2)[:_PAGE],
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
            month, ["day", "model"], key="sk-llmm-2"
        ),
        **{
            f"chart of {name} by key": partial(
                usage_series, period, PointSubject.KEY, timezone.now()
            )
            for name, period in CHART_PERIODS.items()
        },
        "a key's budget of a month": lambda: spent(month.since, key=2),
        "look for old rows": usage_prune,
    }


def _pages() -> dict[str, Callable[[], object]]:
    """Return whole pages of the admin, as its server makes them."""
    user = get_user_model().objects.create_superuser("admin")
    client = Client(headers={"host": "localhost"})
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    models = Model.objects.order_by("name").values_list("pk", flat=True)[:_PAGE]
    ids = "&".join(f"id={pk}" for pk in models)

    def page(address: str) -> None:
        response = client.get(f"/admin/{address}")
        if response.status_code != 200:
            raise RuntimeError(f"{address} was answered {response.status_code}.")

    return {
        f"page: {address}": partial(page, address)
        for address in (
            "accounts/usagerecord/",
            "accounts/usagerecord/?key_id=2&period=7d",
            "accounts/usagerecord/?end=limited",
            "accounts/usagerecord/?endpoint=rerank",
            "accounts/usagerecord/?node=node-2",
            "accounts/usagerecord/?period=yesterday",
            "accounts/usageday/",
            "accounts/usageday/?period=yesterday",
            "accounts/usageday/?team_id=3&period=30d",
            *(
                f"?period={period}&by={subject}"
                for period in CHART_PERIODS
                for subject in CHART_SUBJECTS
            ),
            "live/",
            "inference/enginenode/",
            "registry/model/",
            "registry/model/?q=model-4",
            f"registry/model/states/?{ids}",
            f"registry/model/{models[0]}/change/",
            "inference/worker/",
            "inference/runningrequest/",
            "accounts/apikey/",
            "accounts/limit/",
            "auditlog/logentry/",
        )
    }


def _times(query: Callable[[], object]) -> tuple[float, float]:
    """Return how long it takes, and this process' CPU time, in seconds."""
    start, cpu_start = perf_counter(), process_time()
    query()
    return perf_counter() - start, process_time() - cpu_start
