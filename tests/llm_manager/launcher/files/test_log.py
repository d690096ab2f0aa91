"""The log in files: a copy of standard error, the children's too."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from llm_manager.launcher.files.log import LOG_NAME, log_to_files

if TYPE_CHECKING:
    from pathlib import Path


def test_what_children_write_is_on_standard_error_and_in_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    with log_to_files(folder, max_mb=1, files=2):
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
    with log_to_files(tmp_path, max_mb=1, files=2):
        for _ in range(3 * 1024):
            # The pipe loses what it has no room for; a test waits for room.
            os.set_blocking(2, True)
            os.write(2, line)
    files = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert set(files) == {LOG_NAME, f"{LOG_NAME}.1"}
    assert max(files.values()) <= 1024 * 1024
