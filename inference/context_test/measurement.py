"""The process that measures one context of one model, and then ends.

``python -m inference.context_test.measurement`` reads how to load the model from
standard input and writes JSON lines: how far it is, then the result. A process of its
own gives all memory back at its end, may be killed, and takes nothing down with it.
It is the first that a system without memory ends, and computes only what others leave.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from inference.engine.config.engine_config import EngineConfig
from inference.engine.errors import EngineError
from llm_manager.lib.processes.parent_death import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

#: The largest value: the kernel ends this process before any other.
_FIRST_TO_GO = "1000"
_NICEST = 19
#: How often progress is written, in seconds.
_EVERY_S = 0.25


def measured(
    config: EngineConfig, on_progress: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Load the model, fill its context and return what that took, as JSON values.

    Raises EngineError.
    """
    from inference.context_test.filling import fill_context
    from inference.engine.llama import LlamaBackend
    from inference.engine.llama.hardware import gpus

    free = [gpu["free"] for gpu in gpus()]
    before = _others_seconds()
    started = time.perf_counter()
    backend = LlamaBackend(
        config, on_progress=lambda share: on_progress({"loaded": share})
    )
    try:
        load_seconds = time.perf_counter() - started
        filled = fill_context(
            backend, config.n_ctx, on_tokens=lambda n: on_progress({"filled": n})
        )
        host = psutil.Process().memory_info().rss
        used = [
            max(at_start - gpu["free"], 0)
            for at_start, gpu in zip(free, gpus(), strict=True)
        ]
        took = time.perf_counter() - started
        others = (_others_seconds() - before) / took / (psutil.cpu_count() or 1)
    finally:
        backend.close()
    return {
        "memory": [host, *used],
        "load_seconds": load_seconds,
        "others": others,
        **asdict(filled),
    }


def _others_seconds() -> float:
    """Return the seconds that processors have worked for other processes."""
    times = psutil.cpu_times()
    all_of_them = sum(times) - times.idle - getattr(times, "iowait", 0.0)
    # Linux counts a guest's time twice.
    all_of_them -= getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    own = psutil.Process().cpu_times()
    return float(all_of_them - own.user - own.system)


def _stay_in_the_background() -> None:
    """Leave processor, disk and memory to others."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        os.nice(_NICEST)
    if sys.platform != "linux":
        return
    with suppress(psutil.Error, OSError):
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")


class _Reports:
    """Writes JSON lines, progress not too often."""

    def __init__(self) -> None:
        self._last = 0.0

    def progress(self, report: dict[str, Any]) -> None:
        now = time.monotonic()
        if now - self._last >= _EVERY_S:
            self._last = now
            self.write(report)

    def write(self, report: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Measure what standard input names."""
    # Only the parent decides when this one ends, not a terminal's Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _stay_in_the_background()
    asked = json.loads(sys.stdin.readline())
    end_with_parent(asked["parent"])
    reports = _Reports()
    try:
        result = measured(EngineConfig.from_json(asked["engine"]), reports.progress)
        reports.write({"result": result})
    except EngineError as error:
        reports.write({"error": error.message})
    # Whatever llama.cpp would free at its exit is this process's own.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
