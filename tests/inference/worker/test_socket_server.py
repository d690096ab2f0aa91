"""A worker on a socket, and what it makes of words that are none."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from inference.engine import EngineConfig
from inference.worker.node_pipe import WorkerReport, WorkerSpec
from inference.worker.socket.server import SocketServer
from tests.inference.engine.fakes import FakeBackend

if TYPE_CHECKING:
    import pytest


async def test_a_message_that_cannot_be_read_ends_the_worker_as_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, theirs = socket.socketpair()
    reports: list[WorkerReport] = []
    engine = EngineConfig(paths=(), n_ctx=64, n_seq_max=2)
    server = SocketServer(
        WorkerSpec("", "life", "tiny", max_waiting=7, engine=engine),
        connection=theirs,
        report=reports.append,
        load=lambda _progress: FakeBackend(),
    )
    with ours:
        # One byte, which msgpack never writes.
        ours.sendall(b"\x00\x00\x00\x01\xc1")
        assert await asyncio.wait_for(server.run(), 10) == 1
    assert reports[-1].state == "failed"
    assert "The worker's I/O failed" in caplog.text
