"""One web process: its socket, its limits, the application that it serves."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from django.conf import settings

from llm_manager.launcher.listening import listen
from llm_manager.lib.processes.fair_threads import FairThreads
from llm_manager.lib.processes.heap import freeze_heap
from llm_manager.lib.processes.native_memory import return_large_blocks
from llm_manager.lib.processes.switching import switch_soon
from llm_manager.lib.processes.time_slices import run_soon
from llm_manager.lib.processes.turn import wait_for_turn
from llm_manager.lib.row_cache import RowCache
from llm_manager.lib.tracing.sending import spans_sent
from llm_manager.web.connections.web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_DESCRIPTORS = 65_536
#: Added to the engine's drain time, so that the last tokens reach their clients.
_DRAIN_MARGIN_S = 5
#: Threads that read again what requests use, each with a database connection.
_ROW_READERS = 2


def _allow_many_connections() -> None:
    """Raise this process' limit on descriptors, within what the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # RLIM_INFINITY is negative.
    reachable = _MAX_DESCRIPTORS if hard < 0 else min(_MAX_DESCRIPTORS, hard)
    if 0 <= soft < reachable:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))


@contextmanager
def _usage_recorded(folder: Path) -> Iterator[None]:
    """Write what becomes of requests into a journal in this folder."""
    # It has models: Django is set up by now.
    from accounts.captures.writer import capture_writer
    from accounts.usage.recorder import usage_recorder

    usage_recorder.open(folder)
    try:
        yield
    finally:
        usage_recorder.close()
        capture_writer.close()


async def _beside() -> None:
    """Work on batches, and go on with responses that other web processes have left."""
    from inference.api.batches.running import batch_runner
    from inference.api.responses_api.background_view import background_writer

    async with asyncio.TaskGroup() as works:
        works.create_task(batch_runner().run_forever())
        if settings.CONFIG.api.store:
            works.create_task(background_writer.rescue_forever())


def run(*, fd: int | None, host: str, port: int) -> None:
    """Serve the project on an inherited socket, or on an address of its own."""
    from inference.prompts.rendering.pool import render_pool
    from llm_manager.web.asgi import application

    # The first chat need not wait for Python to start.
    render_pool().warm_up()
    # Django would read the routes, and all views, for the first request.
    import_module(settings.ROOT_URLCONF)
    return_large_blocks()
    switch_soon()
    run_soon()
    freeze_heap()
    wait_for_turn()
    sock = listen(host, port) if fd is None else socket.socket(fileno=fd)
    _allow_many_connections()
    RowCache.threads = FairThreads("rows", threads=_ROW_READERS, most=_ROW_READERS)
    config = settings.CONFIG
    server = WebServer(
        application,
        sock,
        drain_timeout_s=config.engine.drain_timeout + _DRAIN_MARGIN_S,
        receive_timeout_s=config.server.receive_timeout,
        beside=_beside,
    )
    with spans_sent("web"), _usage_recorded(config.usage_dir):
        server.run()
