"""The log in files: a copy of standard error, the children's too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from llm_manager.launcher.files.log import LOG_NAME, log_kept
from tests.llm_manager.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_what_children_write_is_on_standard_error_and_in_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    with log_kept(folder, max_mb=1, files=2):
        code = "import os, sys; os.write(2, b'from C\\n'); print('é', file=sys.stderr)"
        subprocess.run([sys.executable, "-X", "utf8", "-c", code], check=True)
        os.write(2, b"from here\n")
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "from C\né\nfrom here\nlater\n"
    assert (folder / LOG_NAME).read_text("utf-8") == "from C\né\nfrom here\n"
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("capfd")
def test_old_files_go_when_the_newest_is_full(tmp_path: Path) -> None:
    line = b"x" * 1023 + b"\n"
    with log_kept(tmp_path, max_mb=1, files=2):
        for _ in range(3 * 1024):
            # The pipe loses what it has no room for; a test waits for room.
            os.set_blocking(2, True)
            os.write(2, line)
    files = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert set(files) == {LOG_NAME, f"{LOG_NAME}.1"}
    assert max(files.values()) <= 1024 * 1024


def test_a_terminal_that_stands_still_misses_lines_and_the_file_does_not(
    tmp_path: Path,
) -> None:
    # A pipe that nobody reads yet stands for it: it is full after 64 KiB.
    shown, terminal = os.pipe()
    outside = os.dup(2)
    os.dup2(terminal, 2)
    os.close(terminal)
    written = [f"{number} {'x' * 1000}" for number in range(1500)]
    file = tmp_path / LOG_NAME
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.extend(up_to_the_note(shown)))
    try:
        with log_kept(tmp_path, max_mb=10, files=2):
            # The pipe loses what it has no room for; a test waits for room.
            os.set_blocking(2, True)
            for line in written:
                os.write(2, f"{line}\n".encode())
            wait_until(lambda: file.exists() and is_last(file, written[-1]))
            reader.start()
        reader.join()
    finally:
        os.dup2(outside, 2)
        os.close(outside)
    assert file.read_text().splitlines() == written
    *first, note = read
    assert first == written[: len(first)]
    missed = len(written) - len(first)
    assert note == f"(Lines that only the log's file has: {missed})"
    assert 0 < missed < 500


def is_last(file: Path, line: str) -> bool:
    return file.read_text().endswith(f"{line}\n")


def up_to_the_note(descriptor: int) -> Iterator[str]:
    """Yield the lines of a terminal that goes on, and the one about the others."""
    with os.fdopen(descriptor) as lines:
        for line in lines:
            yield line.rstrip("\n")
            if line.startswith("("):
                return


def test_as_json_every_line_is_an_object_and_no_file_is_needed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    own = '{"time": "t", "level": "info", "logger": "a", "message": "b"}'
    with log_kept(None, as_json=True):
        os.write(2, f"llama.cpp says\n{own}\n".encode())
    first, second = capfd.readouterr().err.splitlines()
    assert json.loads(first)["message"] == "llama.cpp says"
    assert second == own
