"""Checks whether llama.cpp can load a model, without taking its memory.

``python -m inference.worker.load_check`` reads a worker's specification from standard
input and answers one JSON line. It reads headers and vocabularies and plans every
buffer, but allocates none: a file that llama.cpp does not know, or that lacks tensors,
is found before another model makes room for it.

It is a process of its own, because a file that makes llama.cpp abort ends it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import TYPE_CHECKING

from inference.engine.errors import EngineError
from inference.worker.node_pipe import spec_from_line

if TYPE_CHECKING:
    from inference.engine.config.engine_config import EngineConfig


def load_error(config: EngineConfig) -> str:
    """Return why llama.cpp cannot load a model; empty if it can."""
    from inference.engine.llama.load_check import check_load

    try:
        check_load(config)
    except EngineError as error:
        return error.message
    return ""


def main() -> None:
    """Answer the question on standard input."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    spec = spec_from_line(sys.stdin.readline())
    print(json.dumps({"error": load_error(spec.engine)}), flush=True)  # noqa: T201
    # Whatever llama.cpp would free at its exit is this process's own.
    os._exit(0)


if __name__ == "__main__":
    main()
