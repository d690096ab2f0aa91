"""A file that is put into the models directory is a model a moment later."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.db import InterfaceError, OperationalError

from inference.node import models_watch
from inference.node.models_watch import ModelsWatch
from registry.models import FileState, Model
from registry.services import FolderLook
from tests.gguf_files import llama_fields, write_gguf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from registry.scan.arrivals import Arrivals

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models directory, which does not exist yet."""
    monkeypatch.setattr(models_watch, "folder_look", FolderLook())
    monkeypatch.setattr(models_watch, "_LOOK_EVERY_S", 0.1)
    settings.MODELS_DIR = tmp_path / "models"
    return tmp_path / "models"


async def _no_report() -> None: ...


@asynccontextmanager
async def watching() -> AsyncIterator[None]:
    task = asyncio.create_task(ModelsWatch(_no_report).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await is_so():
            await asyncio.sleep(0.05)


def make(folder: Path) -> None:
    folder.mkdir()


def remove(file: Path) -> None:
    file.unlink()


async def test_files_that_come_and_go_are_noticed_as_soon_as_they_are_whole(
    folder: Path,
) -> None:
    whole = write_gguf(folder.parent / "m.gguf").read_bytes()
    rows = Model.objects.filter(name="m")
    async with watching():
        make(folder)
        copy = folder / "m.gguf"
        with copy.open("wb") as stream:
            for part in (whole[:100], whole[100:]):
                assert not await rows.aexists()
                stream.write(part)
                stream.flush()
        await until(rows.aexists)
        remove(copy)
        await until(rows.filter(state=FileState.MISSING).aexists)


async def test_a_folder_that_is_replaced_by_another_is_watched_too(
    folder: Path,
) -> None:
    make(folder)
    async with watching():
        write_gguf(folder / "first.gguf")
        await until(Model.objects.filter(name="first").aexists)
        shutil.rmtree(folder)
        make(folder)
        write_gguf(folder / "second.gguf", llama_fields({"general.name": "2"}))
        await until(Model.objects.filter(name="second").aexists)


async def test_watching_outlives_an_outage_of_the_database(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(folder)
    failures = iter([OperationalError, InterfaceError])
    folder_look = FolderLook()
    look = folder_look.look

    def look_or_fail() -> Arrivals | None:
        for failure in failures:
            raise failure
        return look()

    monkeypatch.setattr(folder_look, "look", look_or_fail)
    monkeypatch.setattr(models_watch, "folder_look", folder_look)
    write_gguf(folder / "m.gguf")
    async with watching():
        await until(Model.objects.filter(name="m").aexists)
    assert next(failures, None) is None
