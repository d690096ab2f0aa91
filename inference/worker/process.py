"""What every worker process does, however requests reach it.

It reads its specification from standard input and reports on standard output. It exits
when it is drained, or when standard input ends: then the process that has started it is
gone.
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from inference.engine.config.cpu_threads import unbound
from inference.rpc.relay_process import Relay, ServerLost
from inference.worker.node_pipe import (
    WorkerReport,
    drain_from_line,
    report_to_line,
    spec_from_line,
)
from inference.worker.report_pipe import ReportPipe, never_wait_for_a_reader
from llm_manager.lib.processes.heap import freeze_heap
from llm_manager.lib.processes.switching import switch_soon
from llm_manager.lib.processes.time_slices import run_soon

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from inference.engine.backend import Backend
    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.embedding.backend import EmbeddingBackend
    from inference.engine.scheduling.pacing.measured import Measured
    from inference.worker.node_pipe import Drain, WorkerSpec

    Report = Callable[[WorkerReport], None]
    Load = Callable[[Callable[[float], None]], Backend | EmbeddingBackend]
    MakeServer = Callable[[WorkerSpec, Report, Load], "WorkerServer"]

#: How long the last report may take to reach the node: it has the last totals.
_FLUSH_TIMEOUT_S = 5.0


class WorkerServer(Protocol):
    """Serves one model over some transport."""

    async def run(self) -> int:
        """Serve until drained; return the process's exit code."""

    def drain(self, command: Drain | None = None) -> None:
        """Take no more requests, and finish when none is left."""


def import_llama() -> None:
    """Import llama.cpp, which takes a while; the threads stay free to move."""
    with unbound():
        import inference.engine.llama  # noqa: F401


def llama_loader(engine: EngineConfig, measured: Measured | None = None) -> Load:
    """Return what loads a model with llama.cpp. It is imported here and now.

    ``measured`` is what a worker of the same model has measured before.
    """
    import_llama()
    from inference.engine.llama import LlamaBackend, LlamaEmbedder

    if not engine.is_generative:
        return lambda progress: LlamaEmbedder(engine, on_progress=progress)
    is_rehearsed = measured is not None and measured.prefills_apart
    return lambda progress: LlamaBackend(
        engine, on_progress=progress, is_rehearsed=is_rehearsed
    )


async def _serve(
    spec: WorkerSpec, stdin: asyncio.StreamReader, make_server: MakeServer
) -> int:
    reports = ReportPipe(sys.stdout.fileno())

    def report(status: WorkerReport) -> None:
        reports.send(report_to_line(status))

    async def give_up(lost: ServerLost) -> int:
        failed = WorkerReport("failed", error=str(lost), lost_server=lost.server)
        report(failed)
        await reports.flush(_FLUSH_TIMEOUT_S)
        return 1

    relay: Relay | None = None
    if spec.engine.rpc_servers:
        holder = f"{spec.model_name} on {spec.node or platform.node()}"
        try:
            relay = await Relay.start(spec.engine.rpc_servers, spec.rpc_secret, holder)
        except ServerLost as lost:
            return await give_up(lost)
        spec = replace(spec, engine=replace(spec.engine, rpc_sockets=relay.sockets))
    server = make_server(spec, report, llama_loader(spec.engine, spec.measured))
    serving = asyncio.create_task(server.run())
    commands = asyncio.create_task(_obey(server, stdin))
    losing = asyncio.create_task(relay.wait()) if relay else None
    tasks = [serving, commands, *([losing] if losing else [])]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    commands.cancel()
    if losing and losing.done() and not serving.done():
        # llama.cpp waits for an answer that never comes, and would abort here.
        return await give_up(losing.result())
    await reports.flush(_FLUSH_TIMEOUT_S)
    return serving.result() if serving.done() else 0


async def _obey(server: WorkerServer, stdin: asyncio.StreamReader) -> None:
    """Execute the commands of the parent until standard input ends."""
    async for line in stdin:
        command = drain_from_line(line)
        if command is not None:
            server.drain(command)


async def _main(make_server: MakeServer) -> int:
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    # Before there is a specification: a spare process has done it when it gets one.
    import_llama()
    freeze_heap()
    line = await stdin.readline()
    if not line:
        return 0
    return await _serve(spec_from_line(line.decode()), stdin, make_server)


def run_process(
    make_server: MakeServer,
    *,
    around: AbstractContextManager[None] | None = None,
) -> None:
    """Run a worker process to its end, with ``around`` entered meanwhile."""
    # A terminal's Ctrl-C reaches every process; only the parent decides when this one
    # ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    never_wait_for_a_reader(sys.stderr.fileno())
    switch_soon()
    # This thread, not the engine's, which is started later.
    run_soon()
    with around or nullcontext():
        code = asyncio.run(_main(make_server))
    # The engine thread may be in the middle of a load; the process owns nothing that
    # outlives it, so exiting at once is safe.
    os._exit(code)
