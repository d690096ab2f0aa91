"""scripts/build_peers.sh: what a machine lacks is said before anything is made."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("awk", "cat", "df", "dirname", "grep", "sh", "sha256sum")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the script reads, with few commands on its PATH."""
    for part in ("scripts", "requirements"):
        shutil.copytree(ROOT / part, tmp_path / part)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        target = shutil.which(tool)
        assert target is not None, tool
        (tmp_path / "bin" / tool).symlink_to(target)
    return tmp_path


def install_python(checkout: Path) -> None:
    """Put a Python there that says which llama-cpp-python it has, and nothing else."""
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 1.2.3\n", encoding="utf-8")
    python.chmod(0o755)


def build(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "scripts/build_peers.sh"],
        cwd=checkout,
        env={**os.environ, "PATH": str(checkout / "bin")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_without_an_environment_there_is_nothing_to_build_for(checkout: Path) -> None:
    done = build(checkout)
    assert done.returncode == 1
    assert done.stderr.startswith("llama-cpp-python is not installed: ")
    assert not (checkout / ".bench").exists()


def test_no_compiler(checkout: Path) -> None:
    install_python(checkout)
    done = build(checkout)
    assert done.returncode == 1
    assert "apt install build-essential" in done.stderr
    assert not (checkout / ".bench").exists()


def test_full_disk(checkout: Path) -> None:
    install_python(checkout)
    for compiler in ("cc", "c++"):
        (checkout / "bin" / compiler).symlink_to("/bin/true")
    (checkout / "bin" / "df").unlink()
    (checkout / "bin" / "df").write_text("#!/bin/sh\necho header\necho tmpfs 10 9 1\n")
    (checkout / "bin" / "df").chmod(0o755)
    done = build(checkout)
    assert done.returncode == 1
    assert done.stderr.startswith("The disk is full: ")
    assert not (checkout / ".bench").exists()
