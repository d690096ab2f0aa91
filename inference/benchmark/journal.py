"""Reads and writes of benchmarks; each function is a short transaction."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from inference.models import Benchmark, Worker, WorkerState

if TYPE_CHECKING:
    from inference.benchmark.figures import BenchmarkResult
    from registry.models import Model

_State = Benchmark.State
#: Benchmarks of a model that are kept.
_KEPT = 20
_CUT_OFF = "The engine process ended while it was measured."


def benchmark_request(*, model: Model, by: str) -> tuple[Benchmark, bool]:
    """Request a benchmark; return it, and whether it is a new one.

    There is at most one open benchmark of a model.
    """
    with transaction.atomic():
        own = Benchmark.objects.select_for_update(no_key=True).filter(model=model)
        for benchmark in own.open():
            return benchmark, False
        benchmark = Benchmark.objects.create(model=model, requested_by=by)
        old = own.order_by("-pk").values_list("pk", flat=True)[_KEPT : _KEPT + 1]
        for pk in list(old):
            own.filter(pk__lte=pk).delete()
    return benchmark, True


def benchmark_cancel(benchmark: Benchmark, *, by: str) -> bool:
    """Cancel a benchmark; return whether it was open.

    One that runs ends within a second.
    """
    rows = Benchmark.objects.filter(pk=benchmark.pk)
    reason = f"Cancelled by {by}."
    waiting = rows.filter(state=_State.REQUESTED).update(
        state=_State.CANCELLED, reason=reason, finished_at=timezone.now()
    )
    running = rows.filter(state=_State.RUNNING).update(is_cancelled=True, reason=reason)
    return bool(waiting or running)


def benchmark_claim() -> Benchmark | None:
    """Take the oldest requested benchmark for this host; None if there is none."""
    requested = Benchmark.objects.filter(state=_State.REQUESTED).order_by("pk")
    for benchmark in requested.select_related("model"):
        taken = requested.filter(pk=benchmark.pk).update(
            state=_State.RUNNING, node=platform.node(), started_at=timezone.now()
        )
        if taken:
            return benchmark
    return None


def cut_off_settle() -> None:
    """End the benchmarks of this host whose process is gone."""
    Benchmark.objects.cut_off().update(
        state=_State.FAILED, reason=_CUT_OFF, finished_at=timezone.now()
    )


def benchmark_step(benchmark: Benchmark, doing: str, progress: float) -> None:
    """Write what it does now, and the share that is done."""
    rows = Benchmark.objects.filter(pk=benchmark.pk)
    rows.update(doing=doing, progress=progress)


def is_cancelled(benchmark: Benchmark) -> bool:
    """Return whether it is to end, also because its row is gone."""
    rows = Benchmark.objects.filter(pk=benchmark.pk, is_cancelled=False)
    return not rows.exists()


def benchmark_finish(
    benchmark: Benchmark, result: BenchmarkResult, *, node: str
) -> None:
    """Write the results, and the settings that the model is loaded with."""
    workers = Worker.objects.filter(model=benchmark.model, state=WorkerState.READY)
    worker = workers.first()
    Benchmark.objects.filter(pk=benchmark.pk).update(
        state=_State.DONE,
        results=result.as_json(),
        settings=worker.loaded_settings if worker else {},
        n_ctx=worker.n_ctx if worker else None,
        n_seq_max=worker.n_seq_max if worker else None,
        replicas=workers.count(),
        node=node,
        progress=1,
        doing="",
        finished_at=timezone.now(),
    )


def benchmark_end(benchmark: Benchmark, state: Benchmark.State, reason: str) -> None:
    """Write that it ended without results; a cancelled one keeps its own reason."""
    rows = Benchmark.objects.filter(pk=benchmark.pk)
    rows.update(state=state, doing="", finished_at=timezone.now())
    rows.filter(reason="").update(reason=reason)
