"""The table of faults."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

import pytest

from benchmarks.commands.faults import BEGIN, END, row, table, write_table
from benchmarks.faults import trial
from benchmarks.faults.clients import Api, Outcome
from benchmarks.faults.fault import Fault, locked
from benchmarks.faults.trial import Result, try_fault
from benchmarks.options import FaultOptions, parse

if TYPE_CHECKING:
    from pathlib import Path

GOOD = Result("web killed", 16, 0, 0, 0, 0, 1.25)
BAD = Result("redis frozen for 5 s", 12, 1, 2, 0, 1, None, Counter({"It waited.": 2}))


def test_a_row_has_every_count() -> None:
    assert row(GOOD) == "| web killed | 16 | 0 | 0 | 0 | 0 | 1.2 s |"
    assert row(BAD) == "| redis frozen for 5 s | 12 | 1 | 2 | 0 | 1 | none |"


def test_a_result_is_good_if_nothing_is_lost_and_the_next_answer_comes_soon() -> None:
    assert GOOD.is_good
    assert not BAD.is_good
    assert not Result("x", 16, 0, 0, 0, 0, 5.1).is_good
    # An error that says why is no loss in silence.
    assert Result("x", 0, 0, 16, 0, 0, 1.0).is_good


def test_the_page_gets_the_table_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(page, [GOOD, BAD])
    text = page.read_text()
    assert text == f"before\n{BEGIN}\n{table([GOOD, BAD])}\n{END}\nafter\n"
    assert "* It waited." in text


def test_the_database_is_locked_and_free_again(tmp_path: Path) -> None:
    database = tmp_path / "db.sqlite3"
    with closing(sqlite3.connect(database, timeout=0)) as other:
        other.execute("CREATE TABLE t (x)")
        with locked(database), pytest.raises(sqlite3.OperationalError):
            other.execute("INSERT INTO t VALUES (1)")
        other.execute("INSERT INTO t VALUES (1)")


async def test_streams_are_counted_by_how_they_end(
    monkeypatch: pytest.MonkeyPatch,
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
    fault = Fault("web", "killed", 0, nullcontext)
    result = await try_fault(Api(("",), "", ""), fault, ["1, 2"] * 4)
    assert result == Result("web killed", 1, 1, 1, 1, 0, 0.5, Counter(result.reasons))
    assert result.reasons == {"It waited.": 1, "": 1}


def test_pauses_and_faults_can_be_chosen() -> None:
    options = parse(["faults", "--seconds", "5", "20", "--only", "web"])
    assert isinstance(options, FaultOptions)
    assert options.seconds == (5.0, 20.0)
    assert options.only == ("web",)
    default = parse(["faults"])
    assert isinstance(default, FaultOptions)
    assert default.seconds == (5, 13, 17, 20, 40)


def test_a_client_whose_connection_breaks_asks_the_next_server() -> None:
    api = Api(("http://a", "http://b"), "", "")
    hosts = [api.client(attempt).base_url.host for attempt in range(3)]
    assert hosts == ["a", "b", "a"]
