"""The worker process of one model in the server: its requests come over Redis."""

from __future__ import annotations

import logging.config
from typing import TYPE_CHECKING

from channels.layers import channel_layers
from django.conf import settings

from inference.worker.process import run_process
from inference.worker.queue.server import QueueServer
from llm_manager.lib.tracing.sending import spans_sent

if TYPE_CHECKING:
    from inference.worker.node_pipe import WorkerSpec
    from inference.worker.process import Load, Report


def _server(spec: WorkerSpec, report: Report, load: Load) -> QueueServer:
    return QueueServer(
        spec,
        queue_layer=channel_layers["queue"],
        reply_layer=channel_layers["default"],
        report=report,
        load=load,
        # The private Redis is on a socket of this machine.
        has_machines=settings.CONFIG.redis.url is not None,
    )


def main() -> None:
    """Run a worker process."""
    logging.config.dictConfig(settings.LOGGING)
    run_process(_server, around=spans_sent("worker"))


if __name__ == "__main__":
    main()
