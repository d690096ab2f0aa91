"""A supervisor with fake worker processes."""

from __future__ import annotations

import pytest

from inference.node import load_checks, worker_starter, worker_watcher
from tests.inference.node.engine import (
    Engine,
    FakeProcess,
)


@pytest.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    FakeProcess.made = []
    monkeypatch.setattr(worker_starter, "WorkerProcess", FakeProcess)
    monkeypatch.setattr(worker_watcher, "resident_memory", lambda _pid: 2**20)
    # The rows of these tests have no files.
    monkeypatch.setattr(worker_starter, "why_not_as_scanned", lambda _model: "")
    engine = Engine()
    monkeypatch.setattr(
        load_checks.LoadChecks,
        "error_of",
        lambda _checks, row, _spec: engine.load_errors.get(row.model.name, ""),
    )
    await engine.start()
    return engine
