"""Entries become rows and sums of days: once, however often they are stored."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from accounts.models import UsageDay, UsageRecord
from accounts.record_id import first_id_at, new_id
from accounts.usage import ingestion
from accounts.usage.ingester import Ingester
from accounts.usage.ingestion import store
from accounts.usage.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import DjangoAssertNumQueries, Settings

pytestmark = pytest.mark.django_db


def entry(time: datetime | None = None, **fields: Any) -> dict[str, Any]:
    """Return the entry of an answered request."""
    time_s = (time or timezone.now()).timestamp()
    return {
        "id": str(new_id(time_s)),
        "time": time_s,
        "request_id": uuid.uuid4().hex,
        "endpoint": "chat-completions",
        "status": 200,
        "key_id": 1,
        "key_name": "mine",
        "model_id": 7,
        "model_name": "tiny",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        **fields,
    }


def test_an_entry_is_a_row_with_its_columns() -> None:
    time = timezone.now()
    store([entry(time, request_id="r", error_code="", queue_ms=3, later_version="x")])
    row = UsageRecord.objects.get()
    assert (row.request_id, row.key_name, row.queue_ms) == ("r", "mine", 3)
    assert abs(row.time - time) < timedelta(milliseconds=1)
    assert row.completed


def test_an_entry_that_is_stored_again_changes_nothing() -> None:
    first, second = entry(), entry(status=429, prompt_tokens=0, completion_tokens=0)
    store([first])
    store([first, second, first])
    store([second])
    assert UsageRecord.objects.count() == 2
    day = UsageDay.objects.get()
    assert (day.requests, day.failed) == (2, 1)
    assert (day.prompt_tokens, day.completion_tokens) == (10, 5)


def test_a_day_is_one_of_the_configured_zone(settings: Settings) -> None:
    usage = settings.CONFIG.usage.model_copy(update={"time_zone": "Pacific/Auckland"})
    settings.CONFIG = settings.CONFIG.model_copy(update={"usage": usage})
    noon = datetime.now(UTC).replace(hour=12, minute=30) - timedelta(days=1)
    store([entry(noon), entry(noon - timedelta(hours=4))])
    days = UsageDay.objects.order_by("day").values_list("day", "requests")
    assert list(days) == [
        (noon.date(), 1),
        (noon.date() + timedelta(days=1), 1),
    ]


def test_keys_and_models_have_sums_of_their_own() -> None:
    store([entry(), entry(model_id=8, model_name="large"), entry(key_id=2), entry()])
    sums = UsageDay.objects.values_list("key_id", "model_id", "requests")
    assert sorted(sums) == [(1, 7, 2), (1, 8, 1), (2, 7, 1)]


def test_the_statements_of_a_batch_are_as_many_for_one_key_as_for_many(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for keys in (1, 50):
        batch = [entry(key_id=number % keys) for number in range(100)]
        # A savepoint and its end, the look for known rows, the rows, their days
        # and points.
        with django_assert_num_queries(6):
            store(batch)
    requests = UsageDay.objects.values_list("key_id", "requests")
    assert dict(requests) == {0: 102, **dict.fromkeys(range(1, 50), 2)}


def test_all_sums_of_a_day_grow_and_its_first_names_stay() -> None:
    counts: dict[str, Any] = {
        name: number
        for number, name in enumerate(
            (
                *("prompt_tokens", "cached_tokens", "audio_tokens"),
                *("completion_tokens", "reasoning_tokens", "drafted_tokens", "cost"),
            ),
            start=1,
        )
    }
    store([entry(key_name="first", **counts)])
    store([entry(key_name="second", **counts), entry(status=503, **counts)])
    day = UsageDay.objects.get()
    assert (day.requests, day.failed, day.key_name) == (3, 1, "first")
    assert {name: getattr(day, name) for name in counts} == {
        name: 3 * number for name, number in counts.items()
    }


def test_what_no_database_takes_is_lost_alone(settings: Settings) -> None:
    good = [entry(), entry()]
    store([good[0], {"id": "no uuid", "time": 0}, entry(queue_ms=2**70), good[1]])
    assert {str(pk) for pk in UsageRecord.objects.values_list("pk", flat=True)} == {
        each["id"] for each in good
    }


def test_what_is_older_than_rows_are_kept_is_not_counted_again() -> None:
    store([entry(timezone.now() - timedelta(days=91))])
    assert not UsageRecord.objects.exists()
    assert not UsageDay.objects.exists()


def test_ids_are_in_the_order_of_time() -> None:
    now = timezone.now().timestamp()
    ids = [new_id(now + step / 1000) for step in range(50)]
    assert ids == sorted(ids)
    assert first_id_at(now) < ids[0]
    assert ids[0] < first_id_at(now + 0.002)
    assert {each.version for each in ids} == {7}


def test_rows_are_found_by_time() -> None:
    now = timezone.now()
    hours = [now - timedelta(hours=hour) for hour in range(3)]
    store([entry(time) for time in hours])
    assert UsageRecord.objects.since(hours[1]).count() == 2
    assert UsageRecord.objects.before(hours[1]).count() == 1


class Writer:
    """A journal, and what reads it without a thread."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder, max_file_bytes=2000)
        self.ingester = Ingester(self.journal, folder)

    def request(self) -> None:
        fields = entry()
        id_ = fields.pop("id")
        status = {"status": fields.pop("status")}
        self.journal.begin(id_, fields)
        self.journal.end(id_, status)


def test_a_process_stores_its_own_journal_as_it_grows(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for _ in range(3):
        for _ in range(10):
            writer.request()
        writer.ingester.look()
    assert UsageRecord.objects.count() == 30
    assert UsageDay.objects.get().requests == 30
    assert len(list(tmp_path.iterdir())) == 1


def test_a_database_that_is_away_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(tmp_path)

    def fail(*args: Any) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(ingestion, "_add_to_days", fail)
        for _ in range(20):
            writer.request()
            with pytest.raises(OperationalError):
                writer.ingester.look()
    assert not UsageRecord.objects.exists()
    writer.ingester.look()
    assert UsageRecord.objects.count() == 20
    assert UsageDay.objects.get().requests == 20


def test_a_dead_process_loses_nothing_and_nothing_counts_twice(tmp_path: Path) -> None:
    dead = Writer(tmp_path)
    for _ in range(30):
        dead.request()
    # It had stored the first file when it died.
    dead.ingester.look()
    running = entry()
    dead.journal.begin(running.pop("id"), running)
    for _ in range(30):
        dead.request()
    for file in [*dead.journal.retired, dead.journal.current]:
        assert file is not None
        file.close()
    living = Writer(tmp_path)
    living.request()
    living.ingester.look()
    assert UsageRecord.objects.count() == 62
    assert UsageRecord.objects.filter(completed=False).count() == 1
    assert UsageDay.objects.get().requests == 62
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_store_the_same_lines_count_them_once() -> None:
    entries = [entry(key_id=number % 3) for number in range(40)]
    together = threading.Barrier(2)

    def run() -> None:
        together.wait()
        for first in range(0, len(entries), 8):
            store(entries[first : first + 8])

    _in_threads(run, run)
    assert UsageRecord.objects.count() == 40
    assert sum(UsageDay.objects.values_list("requests", flat=True)) == 40


def _in_threads(*functions: Any) -> None:
    from django.db import connection

    if connection.vendor == "sqlite":
        pytest.skip("SQLite's test database belongs to one connection")
    errors: list[BaseException] = []

    def guarded(function: Any) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=guarded, args=(each,)) for each in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_the_day_of_a_time_is_a_date() -> None:
    assert ingestion.day_of(datetime(2026, 11, 29, 23, 59, tzinfo=UTC)) == date(
        2026, 11, 29
    )
