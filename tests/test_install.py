"""scripts/install.sh: what a machine lacks is one sentence, before anything is made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("awk", "cat", "df", "dirname", "env", "grep", "sed", "sh", "sha256sum", "tr")


class Checkout:
    """A copy of what the script reads, and a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for part in ("scripts", "requirements"):
            shutil.copytree(ROOT / part, self.folder / part)
        shutil.copy(ROOT / "pyproject.toml", self.folder)
        for tool in TOOLS:
            self.link(tool)

    def link(self, tool: str, to: str | None = None) -> None:
        """Put a command into PATH: the machine's own, or another under its name."""
        target = to or shutil.which(tool)
        assert target is not None, tool
        (self.bin / tool).symlink_to(target)

    def script(self, tool: str, text: str) -> None:
        """Put a shell script into PATH."""
        (self.bin / tool).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (self.bin / tool).chmod(0o755)

    def refusal(self) -> str:
        """Run the script, which must fail at once, and return its sentence."""
        done = subprocess.run(
            ["sh", "scripts/install.sh", "run"],
            cwd=self.folder,
            env={"PATH": str(self.bin)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1, done.stderr
        assert not (self.folder / ".venv").exists()
        return done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_no_python(checkout: Checkout) -> None:
    assert checkout.refusal().startswith("Python 3.11 or later is needed")


def test_old_python(checkout: Checkout) -> None:
    checkout.script("python3", "exit 1")
    assert checkout.refusal().startswith("Python 3.11 or later is needed")


def test_no_venv_module(checkout: Checkout) -> None:
    checkout.script("python3", 'case "$2" in *ensurepip*) exit 1 ;; esac; exit 0')
    assert "apt install python3-venv" in checkout.refusal()


def test_full_disk(checkout: Checkout) -> None:
    checkout.link("python3", sys.executable)
    (checkout.bin / "df").unlink()
    checkout.script("df", "echo header; echo tmpfs 10 9 1 90% /")
    assert checkout.refusal().startswith("The disk is full: ")


@pytest.mark.parametrize(
    ("there", "missing"), [((), "cc c++"), (("cc",), "c++"), (("c++",), "cc")]
)
def test_no_compiler(checkout: Checkout, there: tuple[str, ...], missing: str) -> None:
    checkout.link("python3", sys.executable)
    for compiler in there:
        checkout.script(compiler, "exit 0")
    said = checkout.refusal()
    assert f"missing: {missing}. apt install build-essential." in said


def test_unknown_word(checkout: Checkout) -> None:
    done = subprocess.run(
        ["sh", "scripts/install.sh", "everything"],
        cwd=checkout.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "usage: scripts/install.sh run|dev\n"


@pytest.mark.parametrize("name", ["base.txt", "dev.txt", "peers.txt", "sample.txt"])
def test_compiled_requirements_name_no_index_and_no_machine(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    for trace in ("://", "--index", "--extra-index", "--find-links", "/home/", "/tmp/"):  # noqa: S108
        assert trace not in text
