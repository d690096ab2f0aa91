"""The worker process of one model: connects the channel layers and the engine thread.

``python -m inference.worker.main`` reads its specification from standard input and
reports on standard output. It exits when it is drained, or when standard input ends:
then the node's engine process is gone, and its successor starts new workers.
"""

from __future__ import annotations

import asyncio
import logging.config
import os
import signal
import sys
from typing import TYPE_CHECKING

from channels.layers import channel_layers

from inference.engine.config.cpu_threads import unbound
from inference.worker.model_server import ModelServer
from inference.worker.node_pipe import (
    drain_from_line,
    report_to_line,
    spec_from_line,
)
from inference.worker.report_pipe import ReportPipe, never_wait_for_a_reader

if TYPE_CHECKING:
    from inference.worker.node_pipe import WorkerReport, WorkerSpec

#: How long the last report may take to reach the node.
_FLUSH_TIMEOUT_S = 1.0


async def _serve(spec: WorkerSpec, stdin: asyncio.StreamReader) -> int:
    from inference.engine.llama import LlamaBackend, LlamaEmbedder

    engine = spec.engine
    make = LlamaBackend if engine.is_generative else LlamaEmbedder

    reports = ReportPipe(sys.stdout.fileno())

    def report(status: WorkerReport) -> None:
        reports.send(report_to_line(status))

    server = ModelServer(
        spec,
        queue_layer=channel_layers["queue"],
        reply_layer=channel_layers["default"],
        report=report,
        load=lambda progress: make(engine, on_progress=progress),
    )
    serving = asyncio.create_task(server.run())
    commands = asyncio.create_task(_obey(server, stdin))
    await asyncio.wait([serving, commands], return_when=asyncio.FIRST_COMPLETED)
    commands.cancel()
    await reports.flush(_FLUSH_TIMEOUT_S)
    return serving.result() if serving.done() else 0


async def _obey(server: ModelServer, stdin: asyncio.StreamReader) -> None:
    """Execute the node's commands until standard input ends."""
    async for line in stdin:
        command = drain_from_line(line)
        if command is not None:
            server.drain(command)


async def _main() -> int:
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    # Before there is a specification: a spare process has done it when it gets one.
    with unbound():
        import inference.engine.llama  # noqa: F401

    line = await stdin.readline()
    if not line:
        return 0
    return await _serve(spec_from_line(line.decode()), stdin)


def main() -> None:
    """Run a worker process."""
    from django.conf import settings

    # A terminal's Ctrl-C reaches every process; only the node decides when this one
    # ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    never_wait_for_a_reader(sys.stderr.fileno())
    logging.config.dictConfig(settings.LOGGING)
    code = asyncio.run(_main())
    # The engine thread may be in the middle of a load; the process owns nothing that
    # outlives it, so exiting at once is safe.
    os._exit(code)


if __name__ == "__main__":
    main()
