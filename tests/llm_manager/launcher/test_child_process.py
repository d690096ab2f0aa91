"""One child: when it is started again, and that it takes its own children along."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from llm_manager.launcher.child_process import (
    BACKOFF_FIRST_S,
    BACKOFF_LIMIT_S,
    STABLE_S,
    ChildProcess,
)
from tests.llm_manager.lib.processes.slices import needs_slices, niceness_and_slice
from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

FAIL = [sys.executable, "-c", "raise SystemExit(3)"]
WAIT = [sys.executable, "-c", "import signal; signal.pause()"]


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failing(clock: Clock) -> Iterator[ChildProcess]:
    """A child that ends at once."""
    child = ChildProcess("part", FAIL, clock=clock)
    yield child
    child.kill()


def delay_after_death(child: ChildProcess) -> float:
    wait_until(child.has_exited)
    delay = child.supervise()
    assert delay is not None
    return delay


def test_delays_double_up_to_a_limit(failing: ChildProcess, clock: Clock) -> None:
    failing.start()
    delays = []
    for _ in range(10):
        delays.append(delay_after_death(failing))
        clock.now += delays[-1]
        failing.supervise()
    assert delays[:3] == [BACKOFF_FIRST_S, 2 * BACKOFF_FIRST_S, 4 * BACKOFF_FIRST_S]
    assert delays[-1] == BACKOFF_LIMIT_S


def test_is_not_started_before_its_time(failing: ChildProcess, clock: Clock) -> None:
    failing.start()
    delay = delay_after_death(failing)
    clock.now += delay / 2
    assert failing.supervise() == pytest.approx(delay / 2)
    assert failing.pid is None
    clock.now += delay / 2
    assert failing.supervise() is None
    assert failing.pid is not None


def test_stable_run_resets_the_delay(failing: ChildProcess, clock: Clock) -> None:
    failing.start()
    for _ in range(4):
        clock.now += delay_after_death(failing)
        failing.supervise()
    wait_until(failing.has_exited)
    clock.now += STABLE_S
    assert failing.supervise() == BACKOFF_FIRST_S


def test_a_death_is_reported_in_one_line(
    failing: ChildProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    failing.start()
    delay_after_death(failing)
    failing.supervise()
    assert capsys.readouterr().err == (
        "llm-manager: part exited (exit status 3); restarting it in 0.25 s.\n"
    )


def test_command_that_cannot_be_started_is_tried_again(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    child = ChildProcess("part", ["/nowhere/part"], clock=clock)
    assert child.supervise() == BACKOFF_FIRST_S
    assert "part cannot be started (No such file or directory)" in (
        capsys.readouterr().err
    )


def test_running_child_is_left_alone() -> None:
    child = ChildProcess("part", WAIT)
    child.start()
    assert child.supervise() is None
    pid = child.pid
    assert child.supervise() is None
    assert child.pid == pid
    child.terminate()
    wait_until(child.has_exited)
    child.kill()
    assert child.pid is None


def test_killing_twice_is_harmless() -> None:
    child = ChildProcess("part", WAIT)
    child.start()
    child.kill()
    child.kill()
    child.terminate()
    assert child.has_exited()


@needs_slices
def test_one_that_others_wait_for_has_short_slices_after_a_restart_too() -> None:
    child = ChildProcess("part", WAIT, runs_soon=True)
    try:
        for _ in range(2):
            child.start()
            assert child.pid is not None
            assert niceness_and_slice(child.pid)[1] == 300_000
            child.kill()
    finally:
        child.kill()
