"""A context is measured in a process of its own, whatever becomes of that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from inference.context_test.measuring_process import (
    FailedContext,
    MeasuredContext,
    MeasurementStopped,
    MeasuringProgress,
    measure,
)
from inference.engine import EngineConfig
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EngineConfig:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_model("llama", path)
    return EngineConfig((str(path),), n_ctx=1024, n_seq_max=1, n_threads=1)


def child() -> psutil.Process:
    """Return the measuring process."""
    return next(
        each
        for each in psutil.Process().children()
        if "inference.context_test.measurement" in each.cmdline()
    )


def test_memory_and_speeds_of_a_real_model_are_measured(config: EngineConfig) -> None:
    progress: list[MeasuringProgress] = []
    found = measure(config, on_progress=progress.append)
    assert isinstance(found, MeasuredContext)
    # The process itself takes at least what Python takes.
    assert found.memory[0] > 20 * 2**20
    assert [each.depth for each in found.speeds] == [102, 512, 1024]
    assert all(each.prefill > 0 and each.decode > 0 for each in found.speeds)
    # Random weights know nothing.
    assert not found.knows_control
    # Clocks of processors tick in hundredths of a second.
    assert -0.2 < found.others < 1.2
    assert progress


@pytest.mark.long
def test_it_runs_at_the_lowest_priority_and_is_the_first_to_be_ended(
    config: EngineConfig,
) -> None:
    seen: list[tuple[int, str]] = []

    def look(_progress: MeasuringProgress) -> None:
        process = child()
        score = Path(f"/proc/{process.pid}/oom_score_adj").read_text()
        seen.append((process.nice(), score.strip()))

    measure(config, on_progress=look)
    assert seen[0] == (19, "1000")


def test_a_killed_one_is_a_result_with_its_reason(config: EngineConfig) -> None:
    found = measure(config, on_progress=lambda _progress: child().kill())
    assert isinstance(found, FailedContext)
    assert found.was_killed
    assert found.reason.startswith("The measurement was killed by SIGKILL.")


def test_a_crash_is_a_result_with_its_reason(config: EngineConfig) -> None:
    found = measure(
        config, on_progress=lambda _progress: child().send_signal(signal.SIGSEGV)
    )
    assert isinstance(found, FailedContext)
    assert "SIGSEGV" in found.reason


@pytest.mark.long
def test_a_context_that_cannot_be_loaded_says_why(config: EngineConfig) -> None:
    found = measure(replace(config, paths=("/nowhere.gguf",)))
    assert isinstance(found, FailedContext)
    assert not found.was_killed
    assert "nowhere.gguf" in found.reason


def test_one_that_says_nothing_is_ended(config: EngineConfig) -> None:
    def stop(_progress: MeasuringProgress) -> None:
        child().suspend()

    found = measure(config, on_progress=stop, silent_s=1)
    assert found == FailedContext("It said nothing for 1 s.")


def test_a_stop_ends_it_at_once_and_leaves_no_process(config: EngineConfig) -> None:
    pids: list[int] = []
    with pytest.raises(MeasurementStopped):
        measure(
            config,
            on_progress=lambda _progress: pids.append(child().pid),
            should_stop=lambda: bool(pids),
        )
    assert not psutil.pid_exists(pids[0])


PARENT = """
import sys
from inference.context_test.measuring_process import measure
from inference.engine import EngineConfig
import psutil

def show(progress):
    child = psutil.Process().children()[0]
    child.suspend()
    print(child.pid, flush=True)

measure(EngineConfig((sys.argv[1],), n_ctx=1024, n_seq_max=1), on_progress=show)
"""


@pytest.mark.long
def test_it_ends_with_its_parent_even_if_that_is_killed(config: EngineConfig) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, config.paths[0]],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        process = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    # The system ends even one that is suspended.
    psutil.wait_procs([process], timeout=20)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
