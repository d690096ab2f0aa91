"""A worker process whose model says what its script has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from channels.layers import channel_layers

from inference.worker.process import run_process
from inference.worker.queue.server import QueueServer
from tests.scripted.backend import ScriptedBackend
from tests.scripted.names import SCRIPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.worker.node_pipe import WorkerSpec
    from inference.worker.process import Load, Report


def _server(spec: WorkerSpec, report: Report, _load: Load) -> QueueServer:
    script = Path(os.environ[SCRIPT])

    def load(progress: Callable[[float], None]) -> ScriptedBackend:
        progress(1.0)
        return ScriptedBackend(script, n_ctx=spec.engine.n_ctx)

    return QueueServer(
        spec,
        queue_layer=channel_layers["queue"],
        reply_layer=channel_layers["default"],
        report=report,
        load=load,
    )


if __name__ == "__main__":
    run_process(_server)
