"""The table of faults of several nodes."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.commands.nodes import TABLE, row
from benchmarks.faults.clients import Outcome
from benchmarks.faults.network import NotPermitted
from benchmarks.nodes.faults import node_faults
from benchmarks.nodes.places import Port
from benchmarks.nodes.trial import NodeResult, Watched, judge
from benchmarks.nodes.versions import write_later_version
from benchmarks.options.commands import NodesOptions
from benchmarks.options.parsing import parse
from inference.transport.codec import VERSION

if TYPE_CHECKING:
    from pathlib import Path

GOOD = NodeResult("node killed", 32, 0, 0, 0, 5.25, 0.5, "", 0.1)


def test_a_row_has_what_clients_saw() -> None:
    assert row(GOOD) == "| node killed | 32 | 0 | 0 | 0 | 5.2 s | 0.5 s | 0.1 cores |"


def test_a_result_is_good_if_nothing_is_lost_and_each_worker_has_one_owner() -> None:
    assert GOOD.is_good
    for bad in (
        {"lost": 1},
        {"wrong": 1},
        {"doubled": 1},
        {"owners": "two"},
        {"next_s": None},
    ):
        assert not replace(GOOD, **bad).is_good


def test_the_page_gets_the_row(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{TABLE.begin}\n{TABLE.end}\nafter\n")
    TABLE.put(page, row(GOOD), Counter({"cut: it broke": 1}), [GOOD.fault])
    text = page.read_text()
    assert row(GOOD) in text
    assert "* node killed: cut: it broke" in text


def test_streams_are_judged_by_their_ends_their_texts_and_their_pauses() -> None:
    outcomes = [
        Outcome("whole", "1, 2"),
        Outcome("whole", "1, 1, 2"),
        Outcome("whole", "1, 3"),
        Outcome("error", "1", "It waited."),
        Outcome("hung"),
    ]
    watched = [
        Watched(number, 0.0, [1.0, 11.0, 12.0 + number], outcome)
        for number, outcome in enumerate(outcomes)
    ]
    result = judge("x", watched, ["1, 2"] * 5, 9.0, 0.5, "", 0.0)
    assert (result.lost, result.wrong, result.doubled) == (2, 1, 1)
    assert result.reasons == {"error: It waited.": 1, "hung: ": 1}
    # What was before the fault is not counted, the last stream's 5 s are.
    assert result.pause_s == 5.0
    # A stream that began later did not stand still before.
    assert Watched(0, 20.0, [21.0]).pause_s(9.0) == 1.0


def test_every_fault_has_a_name_of_its_own_and_may_be_chosen(tmp_path: Path) -> None:
    names = [fault.name for fault in node_faults(tmp_path)]
    assert len(set(names)) == len(names)
    options = parse(["nodes", "--only", "rolling", "--streams", "8"])
    assert isinstance(options, NodesOptions)
    assert [name for name in names if options.has(name)] == ["rolling upgrade"]
    assert options.streams == 8


def test_a_later_version_differs_in_its_messages_alone(tmp_path: Path) -> None:
    path = write_later_version(tmp_path / "later")
    assert path.split(":")[1] == str(tmp_path / "later")
    folder = tmp_path / "later" / "inference" / "transport"
    assert f"\nVERSION = {VERSION + 1}\n" in (folder / "codec.py").read_text()
    for file in folder.rglob("*.py"):
        ast.parse(file.read_text())
    assert '{"needs_version": ' in (folder / "messages" / "requests.py").read_text()


def test_parts_on_one_machine_are_not_cut_off() -> None:
    with pytest.raises(NotPermitted):
        Port("llmm-1", 8000).cut_off(("redis",))
