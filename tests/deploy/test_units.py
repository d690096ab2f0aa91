"""The systemd units, as systemd itself reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
#: Where the units expect the command.
_COMMAND = "/opt/llm-manager/.venv/bin/llm-manager"


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is missing; Debian's package systemd has it")
    for unit in UNITS:
        text = unit.read_text("utf-8")
        assert _COMMAND in text
        # It looks whether the program is there.
        (tmp_path / unit.name).write_text(text.replace(_COMMAND, sys.executable))
    done = subprocess.run(
        [program, "verify", "--man=no", *(tmp_path / unit.name for unit in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "llm-manager" in line]
    assert ours == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_runs_commands_that_there_are(unit: Path) -> None:
    commands = re.findall(
        rf"^Exec\w+={re.escape(_COMMAND)} (\w+)", unit.read_text("utf-8"), re.MULTILINE
    )
    assert commands
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "llm_manager", command, "--help"],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
