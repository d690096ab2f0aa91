"""Serves this machine's devices by llama.cpp's RPC protocol, on a Unix socket.

``python -m inference.engine.llama.rpc_server PATH THREADS BYTES``: 0 threads are one
per physical core. With bytes the system refuses the process more memory than that. It
ends with its standard input.
"""

from __future__ import annotations

import os
import resource
import sys
import threading

import llama_cpp

from inference.engine.config.cpu_threads import physical_cores
from inference.engine.errors import EngineError
from inference.engine.llama.bindings.rpc import serve

#: For a message and for the graph of a step, beside what a client allocates.
_OWN_BYTES = 512 * 2**20


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Serve until standard input ends."""
    path, n_threads, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    llama_cpp.llama_backend_init()
    if memory:
        most = memory + _OWN_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        serve(path, n_threads or physical_cores())
    except EngineError as error:
        raise SystemExit(error.message) from None
    raise SystemExit(f"llama.cpp cannot listen on {path}.")


if __name__ == "__main__":
    main()
