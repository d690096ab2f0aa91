"""A scan that is killed in the middle of a measurement, and the one after it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.long
WAIT_S = 300


def manage(data_dir: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "llm_manager", "--data-dir", data_dir, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
    )


def running(data_dir: Path) -> list[int]:
    """Return the contexts that are being measured, by the rows."""
    with closing(sqlite3.connect(data_dir / "db.sqlite3")) as database:
        rows = database.execute(
            "SELECT n_ctx FROM registry_contextmeasurement WHERE outcome = 'running'"
        )
        return [n_ctx for (n_ctx,) in rows]


def test_a_scan_killed_by_a_signal_is_resumed_after_its_last_measurement(
    tmp_path: Path,
) -> None:
    (tmp_path / "models").mkdir()
    write_tiny_model("llama", tmp_path / "models" / "tiny.gguf")
    with manage(tmp_path, "migrate", "-v0") as migrating:
        assert migrating.wait(WAIT_S) == 0
    scan = ("scan", "--test-context", "--json")
    with manage(tmp_path, *scan) as killed:
        limit = time.monotonic() + WAIT_S
        while running(tmp_path) != [4096]:
            assert time.monotonic() < limit
            assert killed.poll() is None
        children = psutil.Process(killed.pid).children(recursive=True)
        killed.kill()
    # Nothing goes on measuring.
    gone, alive = psutil.wait_procs(children, timeout=WAIT_S)
    assert not alive
    assert len(gone) == len(children)
    with manage(tmp_path, *scan, "--resume") as resumed:
        output, _ = resumed.communicate(timeout=WAIT_S)
    (test,) = json.loads(output)["context_tests"]
    assert (test["state"], test["tested"], test["measured_now"]) == ("done", 4096, 1)
