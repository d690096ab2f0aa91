"""The table of faults."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.faults import trial
from benchmarks.faults.clients import Api, Outcome
from benchmarks.faults.fault import Fault, Place, locked, one_machine
from benchmarks.faults.other_programs import OtherPrograms
from benchmarks.faults.page import FAULTS, row
from benchmarks.faults.small_disk import full, small_disk
from benchmarks.faults.trial import Result, next_within_s, try_fault
from benchmarks.options.commands import FaultOptions
from benchmarks.options.parsing import parse
from benchmarks.systems.usage import ProcessTree

if TYPE_CHECKING:
    from pathlib import Path

GOOD = Result("web killed", 16, 0, 0, 0, 0, 1.25, 0.1)
BAD = Result(
    "redis frozen for 5 s", 12, 1, 2, 0, 1, None, 1.2, Counter({"It waited.": 2})
)
ORDER = [BAD.fault, GOOD.fault]
BEGIN, END = FAULTS.begin, FAULTS.end


def nowhere(home: Path) -> Place:
    return Place(ProcessTree(0, lambda command: ""), home)


def test_a_row_has_every_count() -> None:
    assert row(GOOD) == "| web killed | 16 | 0 | 0 | 0 | 0 | 1.2 s | 0.1 cores |"
    assert (
        row(BAD) == "| redis frozen for 5 s | 12 | 1 | 2 | 0 | 1 | none | 1.2 cores |"
    )


def test_a_result_is_good_if_nothing_is_lost_and_the_next_answer_comes_soon() -> None:
    assert GOOD.is_good
    assert not BAD.is_good
    assert not Result("x", 16, 0, 0, 0, 0, 5.1, 0).is_good
    # An error that says why is no loss in silence.
    assert Result("x", 0, 0, 16, 0, 0, 1.0, 0).is_good


def test_the_page_gets_each_row_in_its_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for result in (GOOD, BAD):
        FAULTS.put(page, row(result), result.reasons, ORDER)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert f"{row(BAD)}\n{row(GOOD)}\n" in text
    assert "* redis frozen for 5 s: It waited." in text


def test_a_row_is_renewed_and_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    for result in (GOOD, BAD, replace(BAD, next_s=2.0, reasons=Counter())):
        FAULTS.put(page, row(result), result.reasons, ORDER)
    text = page.read_text()
    assert text.count(BAD.fault) == 1
    assert "| 2.0 s | 1.2 cores |" in text
    assert "It waited." not in text
    assert row(GOOD) in text


def test_a_row_of_a_fault_that_is_no_more_is_dropped(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    for result in (BAD, GOOD):
        FAULTS.put(page, row(result), result.reasons, ORDER)
    FAULTS.put(page, row(GOOD), GOOD.reasons, [GOOD.fault])
    assert BAD.fault not in page.read_text()


def test_own_processes_are_no_other_programs() -> None:
    others, started = OtherPrograms(), time.monotonic()
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
    # Others cannot have more than what that leaves.
    own_cores = 0.5 / (time.monotonic() - started)
    assert others.cores < (os.cpu_count() or 1) - 0.8 * own_cores


def test_a_disk_is_full_and_has_room_again(tmp_path: Path) -> None:
    with small_disk(tmp_path) as is_small:
        if not is_small:
            pytest.skip("no disk can be mounted here")
        with full(tmp_path), pytest.raises(OSError, match="No space left"):
            (tmp_path / "more").write_bytes(b"x")
        (tmp_path / "more").write_bytes(b"x")


def test_every_fault_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in one_machine((5, 13))]
    assert len(set(names)) == len(names)
    assert "all of them frozen for 13 s" in names


def test_the_database_is_locked_and_free_again(tmp_path: Path) -> None:
    database = tmp_path / "db.sqlite3"
    with closing(sqlite3.connect(database, timeout=0)) as other:
        other.execute("CREATE TABLE t (x)")
        with locked(nowhere(tmp_path)), pytest.raises(sqlite3.OperationalError):
            other.execute("INSERT INTO t VALUES (1)")
        other.execute("INSERT INTO t VALUES (1)")


def test_a_slow_machine_gets_more_time_and_a_quick_one_no_less() -> None:
    assert next_within_s(14.0) == 10.0
    assert next_within_s(1.0) == 5.0


async def test_streams_are_counted_by_how_they_end(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    ends = [
        Outcome("whole", "1, 2"),
        Outcome("whole", "1, 3"),
        Outcome("error", "1", "It waited."),
        Outcome("cut", "1"),
    ]

    async def follow(api: Api, number: int, tokens: int, **_: object) -> Outcome:
        return ends[number]

    async def answers(api: Api, limit_s: float) -> float:
        return 0.5

    monkeypatch.setattr(trial, "follow", follow)
    monkeypatch.setattr(trial, "answers", answers)
    fault = Fault("web", "killed", 0, lambda _: nullcontext())
    api, place = Api(("",), "", ""), nowhere(tmp_path)
    result = await try_fault(api, fault, ["1, 2"] * 4, place)
    counts = (result.right, result.wrong, result.refused, result.cut, result.hung)
    assert counts == (1, 1, 1, 1, 0)
    assert result.next_s == 0.5
    assert result.reasons == {"It waited.": 1, "": 1}


def test_pauses_and_faults_can_be_chosen() -> None:
    options = parse(["faults", "--seconds", "5", "20", "--only", "web"])
    assert isinstance(options, FaultOptions)
    assert options.seconds == (5.0, 20.0)
    assert options.has("web killed")
    assert not options.has("redis killed")
    default = parse(["faults"])
    assert isinstance(default, FaultOptions)
    assert default.seconds == (5, 13, 17, 20, 40)


def test_a_client_whose_connection_breaks_asks_the_next_server() -> None:
    api = Api(("http://a", "http://b"), "", "")
    hosts = [api.client(attempt).base_url.host for attempt in range(3)]
    assert hosts == ["a", "b", "a"]
