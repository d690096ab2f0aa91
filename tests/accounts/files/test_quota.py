"""An owner's quota of files, when several are stored at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from django.db import connection

from accounts.errors import StorageFull
from accounts.files import services
from accounts.files.folder import upload_path
from accounts.files.services import file_add
from accounts.models import StoredFile
from tests.configuration import unchecked
from tests.factories import make_api_key, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_files_at_once_do_not_find_the_same_room(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CONFIG = unchecked(settings.CONFIG, files__quota_mb=1)
    owner = make_user("eve")
    asking = Barrier(2, timeout=1)
    ask = services.file_room

    def file_room(owner_id: int) -> int:
        room = ask(owner_id)
        # Both have asked, if both may; else the other one waits for the first to end.
        with suppress(BrokenBarrierError):
            asking.wait()
        return room

    monkeypatch.setattr(services, "file_room", file_room)

    def store() -> bool:
        path = upload_path(owner.pk)
        path.write_bytes(bytes(700_000))
        try:
            file_add(path, owner_id=owner.pk, filename="f", purpose="batch")
        except StorageFull:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as threads:
        stored = [threads.submit(store) for _ in range(2)]
        assert sorted(each.result(60) for each in stored) == [False, True]
    assert StoredFile.objects.count() == 1


def test_keys_of_the_owner_are_made_while_a_file_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    owner = make_user("eve")
    made = []

    def make_key() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '60s'")
            made.append(make_api_key(owner=owner))
        finally:
            connection.close()

    def file_room(owner_id: int) -> int:
        # The row of the owner is locked by now.
        with ThreadPoolExecutor(1) as other:
            other.submit(make_key).result()
        return 1000

    monkeypatch.setattr(services, "file_room", file_room)
    path = upload_path(owner.pk)
    path.write_bytes(b"x")

    file_add(path, owner_id=owner.pk, filename="f", purpose="batch")

    assert len(made) == 1
