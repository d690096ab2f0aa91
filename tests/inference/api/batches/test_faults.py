"""/v1/batches: what else can go wrong beside the lines themselves."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError

from accounts.files.folder import content_delete
from accounts.models import Batch
from inference.api.batches import rows, running
from inference.api.batches import run as batch_run
from inference.api.batches.results import BatchResults
from inference.api.batches.run import BatchRun
from tests.fakes import begun, tokens
from tests.inference.api.batches.helpers import create, ended, line, results, upload

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from inference.api.batches.running import BatchRunner
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api


async def test_results_are_free_after_a_run_that_ended_while_it_opened_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_opening, may_go_on = threading.Event(), threading.Event()
    enter = BatchResults.__enter__

    def slowly(self: BatchResults) -> BatchResults:
        is_opening.set()
        assert may_go_on.wait(60)
        return enter(self)

    monkeypatch.setattr(BatchResults, "__enter__", slowly)
    found = BatchResults("batch_1", tmp_path / "out", tmp_path / "errors")
    opening = asyncio.create_task(batch_run._opened(found))
    assert await asyncio.to_thread(is_opening.wait, 60)

    opening.cancel()
    with suppress(asyncio.CancelledError):
        await opening
    may_go_on.set()

    async with asyncio.timeout(60):
        while not (tmp_path / "errors").exists() or found._errors_fd >= 0:
            await asyncio.sleep(0.01)
    monkeypatch.undo()
    with BatchResults("batch_1", tmp_path / "out", tmp_path / "errors"):
        pass


def test_nothing_is_written_to_results_that_are_closed(tmp_path: Path) -> None:
    found = BatchResults("batch_1", tmp_path / "out", tmp_path / "errors")
    with found:
        found.add_error(1, "a", "x", "y")

    with pytest.raises(OSError):
        found.add_error(2, "b", "x", "y")
    assert (tmp_path / "errors").read_bytes().count(b"\n") == 1


async def test_a_database_that_is_away_ends_no_batch(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await create(api, line())
    row = await Batch.objects.aget(pk=batch["id"])

    def away(*_: Any) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(batch_run, "model_find", away)
    with pytest.raises(OperationalError):
        await BatchRun(row).run()

    assert (await Batch.objects.aget(pk=row.pk)).status == Batch.Status.VALIDATING


async def test_a_batch_that_cannot_be_claimed_now_is_claimed_later(
    api: Api,
    runner: BatchRunner,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    claim, tries = rows.claim, []

    def once_away(id_: str, name: str) -> Batch | None:
        tries.append(id_)
        if len(tries) == 1:
            raise OperationalError("database is locked")
        return claim(id_, name)

    monkeypatch.setattr(rows, "claim", once_away)
    batch = await create(api, line())

    assert (await ended(api, batch["id"]))["status"] == "completed"
    assert "cannot be worked on now: database is locked" in caplog.text


async def test_a_line_that_a_lower_limit_refuses_has_an_error(
    api: Api,
    engine: FakeEngineClient,
    settings: Any,
    configure: Callable[..., None],
    runner: BatchRunner,
) -> None:
    configure(batches__in_flight=1)
    engine.enqueue(begun(), [tokens("A")])
    long = line("long", messages=[{"role": "user", "content": "x" * 4000}])
    batch = await create(api, line("short"), long, line("last"))
    await engine.has_streams(1)
    (task,) = runner._tasks.values()
    task.cancel()
    await asyncio.wait({task})

    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2000
    runner.look_soon()
    done = await ended(api, batch["id"])

    assert done["status"] == "completed"
    assert done["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    (wrong,) = (await results(api, done["error_file_id"])).values()
    assert (wrong["custom_id"], wrong["error"]["code"]) == ("long", "line_too_large")


async def test_a_file_says_that_its_content_is_not_here(api: Api) -> None:
    id_ = await upload(api, line())
    content_delete(id_)

    found = (await api.get(f"/v1/files/{id_}")).json()

    assert found["status"] == "error"
    assert "upload it again" in found["status_details"]


async def test_a_batch_that_is_made_during_a_look_is_looked_for_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    again = asyncio.Event()

    class Looking(running.BatchRunner):
        async def _look(self) -> None:
            nonlocal looks
            looks += 1
            if looks == 1:
                self.look_soon()
            else:
                again.set()

    monkeypatch.setattr(running, "_LOOK_EVERY_S", 600.0)
    monkeypatch.setattr(running, "_LOOK_AT_LEAST_EVERY_S", 600.0)
    working = asyncio.create_task(Looking().run_forever())
    async with asyncio.timeout(30):
        await again.wait()
    working.cancel()
