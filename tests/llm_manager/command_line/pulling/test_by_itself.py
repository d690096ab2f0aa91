"""``llm-manager pull`` without a server: killed, resumed, checked."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from llm_manager import cli
from llm_manager.command_line.exit_status import ExitStatus
from tests.hub_fixtures import REPO

if TYPE_CHECKING:
    from pathlib import Path

    from tests.registry.hub.hub_server import FakeHub


def test_a_pull_that_is_killed_twice_ends_with_the_right_checksum(
    hub: FakeHub, tiny: bytes, models: Path
) -> None:
    hub.holds = [1_000_000, 700_000]
    os.environ["HF_ENDPOINT"] = hub.url
    environment = dict(os.environ)
    command = [sys.executable, "-m", "llm_manager", "pull", f"{REPO}:Q4_K_M"]
    (models / ".downloads").mkdir(parents=True)
    part = models / ".downloads" / f"{hashlib.sha256(tiny).hexdigest()}.part"
    for expected in (1_000_000, 1_700_000):
        with subprocess.Popen(command, env=environment) as process:
            assert hub.held.acquire(timeout=60)
            # What the server has sent is on its way to the disk.
            while not part.exists() or part.stat().st_size < expected:
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
    hub.go_on.set()

    last = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60
    )

    assert last.returncode == 0, last.stderr
    file = models / REPO / "tiny-Q4_K_M.gguf"
    assert last.stdout == f"{file}\n"
    assert file.read_bytes() == tiny
    assert list((models / ".downloads").iterdir()) == []
    ranges = [each.headers.get("Range") for each in hub.requests("store")]
    assert ranges == [None, "bytes=1000000-", "bytes=1700000-"]


def test_a_model_of_modelscope_is_pulled(tiny: bytes, models: Path) -> None:
    assert cli.run(["pull", f"modelscope.cn/{REPO}:Q4_K_M"]) == 0
    assert (models / REPO / "tiny-Q4_K_M.gguf").read_bytes() == tiny


@pytest.mark.usefixtures("tiny")
def test_a_repository_is_listed(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["pull", REPO, "--list"]) == 0
    printed = capsys.readouterr().out
    assert f"{REPO}:tiny-Q4_K_M.gguf" in printed
    assert cli.run(["pull", REPO, "--list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["quantization"] for each in found["data"]] == ["Q4_K_M", "Q8_0"]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        (f"{REPO}:Q9", ExitStatus.NOT_FOUND, "it has: Q4_K_M, Q8_0"),
        ("org/nothing", ExitStatus.NOT_FOUND, "has no repository"),
        ("nonsense", ExitStatus.FAILED, "is no model of a hub"),
    ],
)
def test_what_cannot_be_got_is_said(
    models: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    status: ExitStatus,
    said: str,
) -> None:
    assert cli.run(["pull", source]) == status
    assert said in capsys.readouterr().err
    assert not list(models.rglob("*.gguf"))


def test_without_the_setting_this_machine_is_refused(
    hub: FakeHub, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del os.environ["LLM_MANAGER_DOWNLOADS_PRIVATE_ADDRESSES"]
    assert cli.run(["pull", REPO]) == ExitStatus.FAILED
    assert "downloads.private_addresses" in capsys.readouterr().err
    assert hub.seen == []
