"""The worker process of one model for a program that uses the Python API.

Its arguments are the descriptor of the socket to the program, and its process id.
"""

from __future__ import annotations

import socket
import sys
from functools import partial
from typing import TYPE_CHECKING

from inference.worker.process import run_process
from inference.worker.socket.server import SocketServer
from llm_manager.lib.processes.parent_death import end_with_parent

if TYPE_CHECKING:
    from inference.worker.node_pipe import WorkerSpec
    from inference.worker.process import Load, Report


def _server(
    connection: socket.socket, spec: WorkerSpec, report: Report, load: Load
) -> SocketServer:
    return SocketServer(spec, connection=connection, report=report, load=load)


def main() -> None:
    """Run a worker process."""
    # A process that the program has forked may hold the other end of the pipes open.
    end_with_parent(int(sys.argv[2]))
    run_process(partial(_server, socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
