from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from inference.engine.config.cpu_threads import (
    physical_cores,
    thread_environment,
    unbound,
)

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_hardware_threads_of_one_core_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    for number, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        (tmp_path / f"cpu{number}").write_text(siblings)
    assert physical_cores(f"{tmp_path}/cpu{{}}") == 2


def test_without_a_topology_every_usable_processor_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {4, 5, 6})
    assert physical_cores(f"{tmp_path}/nothing{{}}") == 3


def test_threads_are_bound_only_if_there_is_one_for_every_core() -> None:
    for count in (0, physical_cores()):
        assert thread_environment(count)["OMP_PROC_BIND"] == "true"
    assert "OMP_PROC_BIND" not in thread_environment(physical_cores() + 1)


def test_a_thread_that_a_library_binds_is_free_again() -> None:
    usable = os.sched_getaffinity(0)
    with unbound():
        os.sched_setaffinity(0, {min(usable)})
    assert os.sched_getaffinity(0) == usable


def test_who_loads_llama_cpp_stays_free_while_its_threads_are_bound() -> None:
    program = (
        "import os\n"
        "from inference.engine.config.cpu_threads import unbound\n"
        "before = os.sched_getaffinity(0)\n"
        "with unbound():\n"
        "    import llama_cpp\n"
        "    bound = os.sched_getaffinity(0)\n"
        "print(len(bound), os.sched_getaffinity(0) == before)"
    )
    environment = os.environ | thread_environment(0)
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    siblings = -(-len(os.sched_getaffinity(0)) // physical_cores())
    assert int(said[0]) <= siblings
    assert said[1] == "True"
