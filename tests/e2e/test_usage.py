"""Every request has one row of usage, whichever process is killed under load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.commands.usage import FAULTS, LAUNCHER, SERVER, api_of
from benchmarks.faults.fault import Place
from benchmarks.faults.usage_trial import (
    ANSWERS,
    compare,
    load_until_killed,
    try_usage,
)
from benchmarks.model import Conditions, put_model

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.faults.fault import Fault
    from benchmarks.faults.usage_trial import UsageResult

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.long,
    pytest.mark.timeout(900),
]


def conditions_in(folder: Path) -> Conditions:
    return Conditions(
        model=put_model(folder / "models", "Q4_0"), n_threads=2, n_seq_max=16
    )


def check(result: UsageResult, answers: int) -> None:
    """Check the rows, and that the trial had the answers that it waits for."""
    assert result.is_good, result
    assert result.ends["whole"] >= answers, result
    assert result.ends["left"] > 0, result
    assert result.ends["refused"] > 0, result


#: The other faults are in `python -m benchmarks usage --parts kills`.
TRIED = [fault for fault in FAULTS if fault.name.startswith(("web", "redis"))]


@pytest.mark.parametrize("fault", TRIED, ids=lambda fault: fault.name)
async def test_a_fault_costs_no_row_and_doubles_none(
    tmp_path: Path, fault: Fault
) -> None:
    home = tmp_path / "server"
    home.mkdir()
    async with SERVER.running(conditions_in(tmp_path), home) as running:
        place = Place(running.processes, home)
        result = await try_usage(api_of(running), fault, place)
    # Before the fault, and after it.
    check(result, 2 * ANSWERS)


async def test_a_server_that_is_killed_has_the_rows_after_its_next_start(
    tmp_path: Path,
) -> None:
    home = tmp_path / "server"
    home.mkdir()
    conditions = conditions_in(tmp_path)
    async with SERVER.running(conditions, home) as running:
        place = Place(running.processes, home)
        sent = await load_until_killed(api_of(running), LAUNCHER, place)
    async with SERVER.running(conditions, home):
        result = await compare(LAUNCHER.name, sent, home / "db.sqlite3")
    # Nobody answers after the kill.
    check(result, ANSWERS)
