"""The journal: what is written is read once, whoever dies in between."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from accounts.usage.journal import Journal, take_over
from accounts.usage.journal_line import decode, encode
from accounts.usage.journal_reader import JournalReader
from accounts.usage.metrics import LINES_LOST

if TYPE_CHECKING:
    from pathlib import Path

    from accounts.usage.journal_reader import Entry


def read_all(reader: JournalReader) -> list[Entry]:
    while reader.read():
        pass
    return reader.ready


def entries_of_the_dead(folder: Path) -> list[Entry]:
    """Return what another process makes of a folder whose owners are gone."""
    entries: list[Entry] = []
    for file in take_over(folder):
        reader = JournalReader(file)
        read_all(reader)
        reader.give_up_open()
        entries += reader.ready
        file.remove()
    return entries


def ids(entries: list[Entry]) -> list[str]:
    return [entry["id"] for entry in entries]


def test_a_line_is_what_was_written() -> None:
    value = {"id": "a", "name": 'ü "\n\ud800', "n": 3, "none": None}
    assert decode(encode(value)) == value


@pytest.mark.parametrize("cut", [1, 8, 9, 10, 20])
def test_a_torn_line_is_none(cut: int) -> None:
    assert decode(encode({"id": "abcdefgh", "n": 1})[:cut]) is None


def test_a_changed_line_is_none() -> None:
    line = encode({"tokens": 100})
    assert decode(line.replace(b"100", b"900")) is None


def test_what_begins_and_ends_is_one_entry(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin("a", {"key_name": "mine", "status": 0})
    journal.progress({"a": {"completion_tokens": 3}})
    journal.end("a", {"status": 200, "completion_tokens": 5})
    journal.whole("b", {"status": 429})
    assert journal.current is not None
    assert read_all(JournalReader(journal.current)) == [
        {"id": "a", "key_name": "mine", "status": 200, "completion_tokens": 5},
        {"id": "b", "status": 429},
    ]


def test_a_file_is_read_as_it_grows(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin("a", {})
    assert journal.current is not None
    reader = JournalReader(journal.current)
    assert read_all(reader) == []
    journal.end("a", {"status": 200})
    journal.whole("b", {"status": 400})
    assert ids(read_all(reader)) == ["a", "b"]
    reader.stored(reader.ready[:1])
    journal.whole("c", {"status": 400})
    assert ids(read_all(reader)) == ["b", "c"]


def test_a_living_process_keeps_its_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin("a", {})
    assert take_over(tmp_path) == []


def test_what_a_dead_process_left_is_interrupted(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin("a", {"key_name": "mine"})
    journal.begin("b", {})
    journal.progress({"a": {"completion_tokens": 3}})
    journal.end("b", {"status": 200, "completed": True})
    journal.close()
    over, cut = entries_of_the_dead(tmp_path)
    assert over == {"id": "b", "status": 200, "completed": True}
    assert cut == {
        "id": "a",
        "key_name": "mine",
        "completion_tokens": 3,
        "status": 500,
        "error_code": "web_process_died",
        "completed": False,
    }
    assert entries_of_the_dead(tmp_path) == []


def test_a_torn_end_leaves_the_rest(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin("a", {})
    assert journal.current is not None
    os.write(journal.current.fd, encode({"kind": "end", "id": "a"})[:-5])
    journal.close()
    assert [entry["completed"] for entry in entries_of_the_dead(tmp_path)] == [False]


def test_requests_that_run_are_carried_to_the_next_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_file_bytes=500)
    journal.begin("long", {"key_name": "mine"})
    journal.progress({"long": {"completion_tokens": 3}})
    for number in range(20):
        journal.whole(f"n{number}", {"status": 429})
    assert len(journal.retired) >= 2
    found: list[Entry] = []
    for file in journal.retired:
        reader = JournalReader(file)
        found += read_all(reader)
        assert reader.is_over is False
        reader.stored(list(reader.ready))
        # Its file is complete: nothing of it was interrupted.
        assert reader.is_over
        file.remove()
    journal.close()
    found += entries_of_the_dead(tmp_path)
    assert sorted(ids(found)) == sorted(["long", *(f"n{n}" for n in range(20))])
    (cut,) = [entry for entry in found if entry["id"] == "long"]
    assert (cut["key_name"], cut["completion_tokens"]) == ("mine", 3)


class FullDisk:
    """os.write of a disk that takes only some bytes more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def __call__(self, fd: int, data: bytes) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        written = self._write(fd, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 1, 40, 41, 60, 90])
def test_a_full_disk_costs_nothing_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    journal = Journal(tmp_path, max_file_bytes=120)
    journal.begin("a", {})
    disk = FullDisk(room)
    monkeypatch.setattr("accounts.usage.journal.os.write", disk)
    journal.end("a", {"status": 200})
    journal.whole("b", {"status": 429})
    journal.begin("c", {})
    disk.room = 10_000
    journal.flush()
    journal.end("c", {"status": 200})
    found: list[Entry] = []
    for file in [*journal.retired, journal.current]:
        assert file is not None
        found += read_all(JournalReader(file))
    assert ids(found) == ["a", "b", "c"]


def test_what_is_lost_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.usage.journal._MAX_WAITING_BYTES", 100)
    monkeypatch.setattr("accounts.usage.journal.os.write", FullDisk(0))
    before = _lost()
    journal = Journal(tmp_path)
    for number in range(10):
        journal.whole(f"n{number}", {"status": 429})
    assert _lost() - before >= 7


def _lost() -> Any:
    return LINES_LOST._value.get()


def test_two_processes_do_not_take_the_same_file(tmp_path: Path) -> None:
    Journal(tmp_path).begin("a", {})
    journal = Journal(tmp_path)
    journal.begin("b", {})
    journal.close()
    first = take_over(tmp_path)
    assert len(first) == 1
    assert take_over(tmp_path) == []
