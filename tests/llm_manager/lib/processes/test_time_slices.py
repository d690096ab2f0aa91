from __future__ import annotations

import os
import subprocess
import sys

import pytest

from llm_manager.lib.processes.time_slices import run_soon
from tests.llm_manager.lib.processes.slices import needs_slices

#: Prints what is true of a thread before and after, and of one that it starts.
PROGRAM = """
import os, threading
from llm_manager.lib.processes.time_slices import run_soon
from tests.llm_manager.lib.processes.slices import niceness_and_slice

def say():
    print(*niceness_and_slice())

os.nice(3)
say()
assert run_soon()
say()
started = threading.Thread(target=say)
started.start()
started.join()
"""


@needs_slices
def test_a_thread_has_short_slices_and_those_that_it_starts_have_not() -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    before, after, started = result.stdout.splitlines()
    assert before == started
    assert after.split() == [before.split()[0], "300000"]


def test_a_process_that_has_ended_is_left_alone() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not run_soon(ended.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="policies are Linux's")
def test_a_process_with_another_policy_keeps_it() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            os.sched_setscheduler(other.pid, os.SCHED_BATCH, os.sched_param(0))
            assert not run_soon(other.pid)
            assert os.sched_getscheduler(other.pid) == os.SCHED_BATCH
        finally:
            other.kill()
