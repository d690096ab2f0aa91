"""``manage.py run_benchmarks``: the benchmarks that were asked for in the admin.

The engine process of a machine starts it when some wait, and it exits when none is
left. It measures through the model's workers, wherever they are.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from channels.layers import channel_layers
from django.conf import settings

from inference.benchmark import journal
from inference.benchmark.measuring import measure
from inference.benchmark.worker_door import WorkerDoor
from inference.errors import InferenceError
from inference.management.child_command import ChildCommand
from inference.models import Benchmark
from inference.services import worker_request
from inference.transport.client import EngineClient
from inference.transport.queue import ModelQueue
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from inference.benchmark.figures import BenchmarkResult

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5


class Command(ChildCommand):
    help = "Run the benchmarks that were requested in the admin, then exit."

    def work(self) -> None:
        journal.cut_off_settle()
        asyncio.run(run_benchmarks())


async def run_benchmarks() -> None:
    """Run the requested benchmarks, one after the other."""
    client = EngineClient(
        queue_layer=channel_layers["queue"], reply_layer=channel_layers["default"]
    )
    try:
        while (benchmark := await in_thread(journal.benchmark_claim)) is not None:
            logger.info("Measuring the speed of %s", benchmark.model)
            await _run(benchmark, client)
    finally:
        await client.aclose()


async def _run(benchmark: Benchmark, client: EngineClient) -> None:
    model = benchmark.model
    by = f"a benchmark of {benchmark.requested_by}"
    queue = ModelQueue(model.pk, model.name, settings.CONFIG.engine.queue_timeout)
    door = WorkerDoor(client, queue)
    steps: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    try:
        await in_thread(worker_request, model=model, by=by)
        measuring = asyncio.create_task(
            measure(door, model.name, on_step=lambda *step: steps.put_nowait(step))
        )
        result = await _follow(benchmark, measuring, steps)
    except InferenceError as error:
        await _end(benchmark, Benchmark.State.FAILED, str(error))
    except Exception as error:
        logger.exception("The speed of %s cannot be measured", model)
        await _end(
            benchmark, Benchmark.State.FAILED, f"{type(error).__name__}: {error}"
        )
    else:
        if result is None:
            await _end(benchmark, Benchmark.State.CANCELLED, "Cancelled.")
        else:
            await in_thread(journal.benchmark_finish, benchmark, result, node=door.node)


async def _follow(
    benchmark: Benchmark,
    measuring: asyncio.Task[BenchmarkResult],
    steps: asyncio.Queue[tuple[str, float]],
) -> BenchmarkResult | None:
    """Write each step; return the result, None if it is cancelled meanwhile."""
    try:
        while not measuring.done():
            await asyncio.wait([measuring], timeout=_LOOK_EVERY_S)
            while not steps.empty():
                step = steps.get_nowait()
                await in_thread(journal.benchmark_step, benchmark, *step)
            if await in_thread(journal.is_cancelled, benchmark):
                return None
        return measuring.result()
    finally:
        measuring.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await measuring


async def _end(benchmark: Benchmark, state: Benchmark.State, reason: str) -> None:
    await in_thread(journal.benchmark_end, benchmark, state, reason)
