"""Rounds: interleaved, and a failure is reported without stopping the rest."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from benchmarks.client.answers import WrongAnswer
from benchmarks.commands.compare import measure_all
from benchmarks.model import Conditions
from benchmarks.systems import Running
from benchmarks.systems.usage import ProcessTree
from tests.benchmarks.fakes import FakeTarget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from benchmarks.client.answers import Target
    from benchmarks.reporting.figures import Figures


@dataclass(frozen=True)
class FakeSystem:
    """A system that is this process."""

    name: str
    num_keys: int = 2
    target: FakeTarget = field(default_factory=FakeTarget)

    def missing(self) -> str | None:
        return None

    @asynccontextmanager
    async def running(
        self, conditions: Conditions, folder: Path
    ) -> AsyncIterator[Running]:
        yield Running(self.target, ProcessTree(os.getpid(), lambda _command: "server"))


@dataclass(frozen=True)
class FakeWorkload:
    """Records the targets that it was run on."""

    name: str
    num_keys: int = 1
    runs: list[tuple[Target, str]] = field(default_factory=list)
    fails_on: Target | None = None

    async def run(self, target: Target, salt: str) -> Figures:
        self.runs.append((target, salt))
        if target is self.fails_on:
            raise ExceptionGroup("", [WrongAnswer("half of it"), WrongAnswer("too")])
        return {"tokens": 10.0}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.commands.compare._IDLE_S", 0.0)


def conditions(folder: Path) -> Conditions:
    return Conditions(model=folder / "model.gguf", n_threads=1)


async def test_rounds_are_interleaved_and_begin_with_another_system(
    tmp_path: Path,
) -> None:
    one, two = FakeSystem("one"), FakeSystem("two")
    result = await measure_all(
        [one, two],
        [FakeWorkload("a"), FakeWorkload("b")],
        2,
        conditions(tmp_path),
        tmp_path,
    )
    order = [(m.round, m.workload, m.system) for m in result.measurements]
    assert order == [
        (0, "a", "one"),
        (0, "a", "two"),
        (0, "b", "one"),
        (0, "b", "two"),
        (1, "a", "two"),
        (1, "a", "one"),
        (1, "b", "two"),
        (1, "b", "one"),
    ]
    assert set(result.idle_cpu) == {"one", "two"}


async def test_systems_get_the_same_salt_in_a_round_and_another_in_the_next(
    tmp_path: Path,
) -> None:
    workload = FakeWorkload("a")
    systems = [FakeSystem("one"), FakeSystem("two")]
    await measure_all(systems, [workload], 2, conditions(tmp_path), tmp_path)
    first, second, third, fourth = (salt for _, salt in workload.runs)
    assert first == second != third == fourth


async def test_figures_have_what_the_processes_took(tmp_path: Path) -> None:
    result = await measure_all(
        [FakeSystem("one")], [FakeWorkload("a")], 1, conditions(tmp_path), tmp_path
    )
    figures = result.measurements[0].figures
    assert figures["peak_rss_bytes"] > 0
    assert figures["cpu_per_token_s"] == figures["cpu_server_s"] / 10


async def test_a_wrong_answer_fails_its_run_and_is_reported(tmp_path: Path) -> None:
    bad, good = FakeSystem("bad"), FakeSystem("good")
    workload = FakeWorkload("a", fails_on=bad.target)
    result = await measure_all(
        [bad, good], [workload], 1, conditions(tmp_path), tmp_path
    )
    assert [m.system for m in result.measurements] == ["good"]
    assert result.failures == ["bad failed in a, round 1: WrongAnswer: half of it"]


async def test_a_system_without_keys_is_spared_what_needs_two(tmp_path: Path) -> None:
    keyless = FakeSystem("keyless", num_keys=1)
    workload = FakeWorkload("two-keys", num_keys=2)
    result = await measure_all([keyless], [workload], 1, conditions(tmp_path), tmp_path)
    assert result.measurements == []
    assert workload.runs == []
