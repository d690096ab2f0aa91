"""What a process writes to its launcher, whether or not anybody reads it."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from llm_manager.lib.processes import sign_of_life

if TYPE_CHECKING:
    import pytest


async def test_a_process_shows_life_as_long_as_its_event_loop_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sign_of_life, "EVERY_S", 0.01)
    reader, writer = os.pipe()
    monkeypatch.setenv(sign_of_life.VARIABLE, str(writer))
    showing = asyncio.create_task(sign_of_life.show_life())
    for _ in range(3):
        assert await asyncio.to_thread(os.read, reader, 1) == b"."
    # What it starts must not write to the same pipe.
    assert sign_of_life.VARIABLE not in os.environ
    showing.cancel()
    with suppress(asyncio.CancelledError):
        await showing
    os.close(reader)
    os.close(writer)


async def test_a_launcher_that_does_not_read_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sign_of_life, "EVERY_S", 0)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    monkeypatch.setenv(sign_of_life.VARIABLE, str(writer))
    showing = asyncio.create_task(sign_of_life.show_life())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not showing.done()
    os.close(reader)
    await asyncio.wait_for(showing, 5)
    os.close(writer)


async def test_without_a_launcher_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(sign_of_life.VARIABLE, raising=False)
    await sign_of_life.show_life()
