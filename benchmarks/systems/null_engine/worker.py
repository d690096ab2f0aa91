"""A worker process whose model computes nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from channels.layers import channel_layers

from benchmarks.systems.null_engine.backend import NullBackend, sleeping
from inference.worker.process import run_process
from inference.worker.queue.server import QueueServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.worker.node_pipe import WorkerSpec
    from inference.worker.process import Load, Report


def _server(spec: WorkerSpec, report: Report, _load: Load) -> QueueServer:
    step_s = float(os.environ["NULL_STEP_MS"]) / 1000

    def load(progress: Callable[[float], None]) -> NullBackend:
        progress(1.0)
        return NullBackend(
            n_ctx=spec.engine.n_ctx,
            n_seq_max=spec.engine.n_seq_max,
            n_batch=spec.engine.n_batch,
            take=sleeping(step_s),
        )

    return QueueServer(
        spec,
        queue_layer=channel_layers["queue"],
        reply_layer=channel_layers["default"],
        report=report,
        load=load,
    )


if __name__ == "__main__":
    run_process(_server)
