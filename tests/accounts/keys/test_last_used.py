"""When a key was last used."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from accounts.keys import last_used
from accounts.keys.last_used import note_last_use
from accounts.models import ApiKey, KeyAddress
from accounts.models.key_address import MAX_ADDRESSES, OTHERS
from tests.factories import make_api_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet

pytestmark = pytest.mark.django_db

HOME = "192.0.2.7"


class Later(Executor):
    """Keeps what it is given until the test runs it."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []

    def submit(  # type: ignore[override]
        self, function: Callable[..., Any], /, *args: Any
    ) -> Future[Any]:
        self.calls.append(lambda: last_used.write_last_use(*args))
        return Future()


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Later:
    later = Later()
    monkeypatch.setattr(last_used, "_writer", later)
    monkeypatch.setattr(last_used, "_noted", last_used._Noted())
    return later


def test_the_time_is_written_beside_the_request(writer: Later) -> None:
    key, _ = make_api_key()

    note_last_use(key, HOME)

    key.refresh_from_db()
    assert key.last_used_at is None
    writer.calls[0]()
    key.refresh_from_db()
    assert key.last_used_at is not None


def test_a_key_is_written_at_most_once_a_minute(writer: Later) -> None:
    key, _ = make_api_key()

    note_last_use(key, HOME)
    note_last_use(key, HOME)  # The first write has not happened yet.
    writer.calls[0]()
    key.refresh_from_db()
    note_last_use(key, HOME)

    assert len(writer.calls) == 1


def test_two_processes_write_once(writer: Later) -> None:
    key, _ = make_api_key()
    now = timezone.now()
    seen = [now, now + timedelta(seconds=59), now + timedelta(seconds=61)]

    for moment in seen:
        last_used.write_last_use(key.pk, HOME, moment)

    key.refresh_from_db()
    assert key.last_used_at == seen[2]
    last_used.write_last_use(key.pk, HOME, seen[2] + timedelta(seconds=1))
    key.refresh_from_db()
    assert key.last_used_at == seen[2]


def test_a_failed_write_fails_nothing(
    writer: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = make_api_key()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(ApiKey.objects, "filter", fail)
    note_last_use(key, HOME)
    writer.calls[0]()

    key.refresh_from_db()
    note_last_use(key, HOME)  # And it is tried again.
    assert len(writer.calls) == 2


def test_the_writers_thread_keeps_no_connection(
    writer: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(connection, "close", lambda: closed.append(True))
    key, _ = make_api_key()

    last_used._write_in_background(key.pk, HOME, timezone.now())

    key.refresh_from_db()
    assert key.last_used_at is not None
    assert closed == [True]


def test_an_interpreter_that_ends_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(Executor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("cannot schedule new futures after shutdown")

    monkeypatch.setattr(last_used, "_writer", Ended())
    monkeypatch.setattr(last_used, "_noted", last_used._Noted())

    note_last_use(make_api_key()[0], HOME)


def test_each_day_has_the_addresses_that_a_key_came_from() -> None:
    key, _ = make_api_key()
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    uses = (
        (HOME, noon),
        ("2001:db8::1", noon),
        (HOME, noon + timedelta(hours=1)),
        (HOME, noon + timedelta(days=1)),
    )
    for address, moment in uses:
        last_used.write_last_use(key.pk, address, moment)

    found = [(f"{row.day}", row.address, row.last_at.hour) for row in rows_of(key)]
    assert found == [
        ("2026-03-02", HOME, 12),
        ("2026-03-01", HOME, 13),
        ("2026-03-01", "2001:db8::1", 12),
    ]


def test_a_key_from_everywhere_fills_no_table() -> None:
    key, _ = make_api_key()
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for number in range(MAX_ADDRESSES + 9):
        last_used.write_last_use(key.pk, f"198.51.100.{number}", noon)

    assert rows_of(key).count() == MAX_ADDRESSES + 1
    assert rows_of(key).filter(address=OTHERS).count() == 1


def test_addresses_are_forgotten_after_ninety_days() -> None:
    key, _ = make_api_key()
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for days in (0, 1, 91):
        last_used.write_last_use(key.pk, HOME, noon + timedelta(days=days))

    assert [f"{row.day}" for row in rows_of(key)] == ["2026-05-31", "2026-03-02"]


def rows_of(key: ApiKey) -> QuerySet[KeyAddress]:
    return KeyAddress.objects.filter(key=key)
