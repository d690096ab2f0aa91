"""Spare processes: they wait, take over at once, and never serve on their own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from llm_manager.launcher.child_process import SPARE_AFTER_S, ChildProcess
from llm_manager.lib.processes import turn
from tests.llm_manager.launcher.test_child_process import Clock
from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Notes that it has loaded, and then that it serves.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from llm_manager.lib.processes.turn import wait_for_turn
def note(what):
    with Path(sys.argv[1]).open("a") as log: log.write(f"{what} {os.getpid()}\\n")
note("loaded")
wait_for_turn()
note("serves")
signal.pause()
"""


class Part:
    """A child with a spare, and what its processes have noted."""

    def __init__(self, log: Path, clock: Clock) -> None:
        self.log = log
        self.clock = clock
        self.child = ChildProcess(
            "part",
            [sys.executable, "-c", PROGRAM, str(log)],
            environment={"PYTHONPATH": os.pathsep.join(sys.path)},
            has_spare=True,
            clock=clock,
        )

    def pids(self, what: str) -> list[int]:
        """Which processes have noted this."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith(what)]

    def start_with_spare(self) -> int:
        """Start it, and its spare; return the spare's pid."""
        self.child.start()
        wait_until(lambda: len(self.pids("serves")) == 1)
        self.clock.now += SPARE_AFTER_S
        self.child.supervise()
        wait_until(lambda: len(self.pids("loaded")) == 2)
        return self.pids("loaded")[1]


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Part]:
    part = Part(tmp_path / "log", Clock())
    yield part
    part.child.kill()


def test_a_spare_process_takes_over_without_a_delay(
    part: Part, capsys: pytest.CaptureFixture[str]
) -> None:
    spare = part.start_with_spare()
    assert part.pids("serves") == [part.child.pid]
    assert part.child.pid is not None
    os.kill(part.child.pid, signal.SIGKILL)
    wait_until(part.child.has_exited)
    assert part.child.supervise() is None
    assert part.child.pid == spare
    wait_until(lambda: spare in part.pids("serves"))
    assert "its spare process takes over" in capsys.readouterr().err


def test_a_process_that_has_just_started_has_no_spare(part: Part) -> None:
    part.child.start()
    wait_until(lambda: len(part.pids("serves")) == 1)
    part.clock.now += SPARE_AFTER_S - 1
    part.child.supervise()
    os.kill(part.child.pid or 0, signal.SIGKILL)
    wait_until(part.child.has_exited)
    delay = part.child.supervise()
    assert delay is not None
    assert delay > 0


def test_a_spare_process_that_ended_is_replaced(part: Part) -> None:
    spare = part.start_with_spare()
    os.kill(spare, signal.SIGKILL)
    wait_until(lambda: not part.child.has_spare_waiting)
    part.child.supervise()
    # Not at once: it may end again.
    assert not part.child.has_spare_waiting
    part.clock.now += SPARE_AFTER_S
    part.child.supervise()
    wait_until(lambda: len(part.pids("loaded")) == 3)
    assert len(part.pids("serves")) == 1


def test_the_spare_process_ends_with_the_child(part: Part) -> None:
    spare = part.start_with_spare()
    part.child.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(spare, 0)
    assert spare not in part.pids("serves")


def test_a_process_that_is_no_spare_does_not_wait() -> None:
    turn.wait_for_turn()


async def test_a_turn_is_given_in_an_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv(turn.VARIABLE, str(reader))
    waiting = asyncio.create_task(turn.turn())
    await asyncio.sleep(0)
    assert not waiting.done()
    os.write(writer, b".")
    await waiting
    os.close(writer)


async def test_a_spare_process_without_a_parent_exits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv(turn.VARIABLE, str(reader))
    os.close(writer)
    with pytest.raises(SystemExit):
        await turn.turn()
