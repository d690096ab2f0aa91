"""Runs the process that measures one context, and says how it ended."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from inference.context_test.fill_time import SpeedAtDepth
from inference.engine.config.cpu_threads import thread_environment
from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.config.engine_config import EngineConfig

#: How often ``should_stop`` is asked, in seconds.
_LOOK_EVERY_S = 0.25
_STDERR_LINES = 8
_VMSTAT = Path("/proc/vmstat")


@dataclass(frozen=True, slots=True)
class MeasuredContext:
    """What a context took, and how fast it was; ``memory`` is in bytes by device.

    ``others`` is the share of all processors that other processes used meanwhile.
    """

    memory: tuple[int, ...]
    load_seconds: float
    speeds: tuple[SpeedAtDepth, ...]
    knows_fact: bool
    knows_control: bool
    others: float = 0.0


@dataclass(frozen=True, slots=True)
class FailedContext:
    """Why a context cannot be used. ``was_killed``: a signal ended its process."""

    reason: str
    was_killed: bool = False


@dataclass(frozen=True, slots=True)
class MeasuringProgress:
    """``loaded`` goes from 0 to 1, ``filled`` counts the tokens in the context."""

    loaded: float = 1.0
    filled: int = 0


class MeasurementStopped(Exception):
    """It was ended from outside; that says nothing about the context."""


def measure(
    config: EngineConfig,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[MeasuringProgress], None] = lambda _progress: None,
    silent_s: float = 600.0,
) -> MeasuredContext | FailedContext:
    """Measure the context of a configuration, which is for one sequence.

    ``should_stop`` is asked several times a second; then MeasurementStopped is raised.
    A process that reports nothing for ``silent_s`` seconds is ended, and has failed.
    The process ends with the thread that called this.
    """
    ooms = _out_of_memory_kills()
    process = subprocess.Popen(
        [sys.executable, "-m", "inference.context_test.measurement"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(config),
        text=True,
        errors="replace",
    )
    assert process.stdin  # noqa: S101 - all three are pipes
    assert process.stdout  # noqa: S101
    assert process.stderr  # noqa: S101
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    last_words: deque[str] = deque(maxlen=_STDERR_LINES)
    readers = [
        threading.Thread(target=_read, args=(process.stdout, lines.put)),
        threading.Thread(target=_read, args=(process.stderr, last_words.append)),
    ]
    try:
        for reader in readers:
            reader.start()
        with suppress(BrokenPipeError):
            asked = {"parent": os.getpid(), "engine": asdict(config)}
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.close()
        found = _await_result(lines, last_words, should_stop, on_progress, silent_s)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for reader in readers:
            reader.join()
        for pipe in (process.stdout, process.stderr):
            pipe.close()
    if found is not None:
        return found
    said = "\n".join(line.rstrip() for line in last_words if line)
    return _death(process.returncode, _out_of_memory_kills() > ooms, said)


def _environment(config: EngineConfig) -> dict[str, str]:
    """Return the environment of a worker: its threads compute the same way."""
    environment = thread_environment(config.n_threads) | os.environ
    # A debugger's lines would push out what llama.cpp says before it aborts.
    environment.setdefault("GGML_NO_BACKTRACE", "1")
    environment["PYTHONPATH"] = python_path()
    return environment


def _read(pipe: IO[str], take: Callable[[Any], None]) -> None:
    for line in pipe:
        take(line)
    take(None)


def _await_result(
    lines: queue.SimpleQueue[str | None],
    other: deque[str],
    should_stop: Callable[[], bool],
    on_progress: Callable[[MeasuringProgress], None],
    silent_s: float,
) -> MeasuredContext | FailedContext | None:
    """Return the result; None if the process ended without one."""
    heard_at = time.monotonic()
    while True:
        if should_stop():
            raise MeasurementStopped
        try:
            line = lines.get(timeout=_LOOK_EVERY_S)
        except queue.Empty:
            if time.monotonic() - heard_at > silent_s:
                return FailedContext(f"It said nothing for {silent_s:g} s.")
            continue
        if line is None:
            return None
        heard_at = time.monotonic()
        try:
            report = json.loads(line)
        except ValueError:
            other.append(line)
            continue
        if "result" in report:
            return _result(report["result"])
        if "error" in report:
            return FailedContext(report["error"])
        on_progress(MeasuringProgress(**report))


def _result(data: dict[str, Any]) -> MeasuredContext:
    return MeasuredContext(
        memory=tuple(data["memory"]),
        load_seconds=data["load_seconds"],
        speeds=tuple(SpeedAtDepth.from_json(each) for each in data["speeds"]),
        knows_fact=data["knows_fact"],
        knows_control=data["knows_control"],
        others=data["others"],
    )


def _death(code: int, had_no_memory: bool, said: str) -> FailedContext:  # noqa: FBT001
    if code < 0:
        name = signal.Signals(-code).name
        reason = f"The measurement was killed by {name}."
        if had_no_memory and -code == signal.SIGKILL:
            reason = "The system ran out of memory and killed the measurement."
    else:
        reason = f"The measurement exited with code {code}."
    return FailedContext(f"{reason}\n{said}".strip(), was_killed=code < 0)


def _out_of_memory_kills() -> int:
    """Return how many processes the kernel has ended for want of memory, if known."""
    try:
        fields = _VMSTAT.read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(fields[fields.index("oom_kill") + 1]) if "oom_kill" in fields else 0
