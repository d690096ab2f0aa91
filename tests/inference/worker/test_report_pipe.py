"""Reports to an engine process that reads, that stands still, and that is gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from inference.worker.report_pipe import ReportPipe

if TYPE_CHECKING:
    from collections.abc import Iterator

#: More than a pipe takes.
LARGE = "x" * 300_000


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """The reading and the writing end of a pipe."""
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        try:
            os.close(end)
        except OSError:
            continue


def read_lines(reader: int, last: str) -> list[str]:
    """Read until a line comes."""
    text = ""
    while not text.endswith(f"{last}\n"):
        text += os.read(reader, 2**20).decode()
    return text.splitlines()


async def test_a_report_that_fits_is_sent_at_once(ends: tuple[int, int]) -> None:
    reader, writer = ends
    pipe = ReportPipe(writer)
    for number in range(3):
        pipe.send(f"{number}\n")
    assert read_lines(reader, "2") == ["0", "1", "2"]


async def test_of_the_reports_to_a_reader_that_stands_still_the_newest_arrives(
    ends: tuple[int, int],
) -> None:
    reader, writer = ends
    pipe = ReportPipe(writer)
    pipe.send(LARGE + "\n")
    for number in range(1000):
        # None of them waits.
        pipe.send(f"{number}\n")
    os.set_blocking(reader, False)
    text = b""
    while not text.endswith(b"\n999\n"):
        try:
            text += os.read(reader, 2**20)
        except BlockingIOError:
            await pipe.flush(0.01)
    assert text.decode().splitlines() == [LARGE, "999"]


async def test_a_reader_that_is_gone_stops_nothing(ends: tuple[int, int]) -> None:
    reader, writer = ends
    pipe = ReportPipe(writer)
    os.close(reader)
    pipe.send("1\n")
    await pipe.flush(1)


async def test_the_last_report_is_waited_for_only_so_long(
    ends: tuple[int, int],
) -> None:
    pipe = ReportPipe(ends[1])
    pipe.send(LARGE)
    await pipe.flush(0.05)
