"""A folder for files, and a web process that works on batches."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from channels.layers import channel_layers

from inference.api.batches import running
from inference.api.batches.running import BatchRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _folder(settings: Any, tmp_path: Path) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"data_dir": tmp_path})


@pytest.fixture
async def runner(
    monkeypatch: pytest.MonkeyPatch, transactional_db: Any
) -> AsyncIterator[BatchRunner]:
    """A web process's runner, at work."""
    monkeypatch.setattr(running, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(running, "_BEAT_S", 0.05)
    runner = BatchRunner()
    working = asyncio.create_task(runner.run_forever())
    yield runner
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    await channel_layers["queue"].flush()
