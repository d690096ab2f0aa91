"""Which process of ours does what, and which peers are there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from benchmarks.systems import BASELINES, DEFAULT_SYSTEMS, SYSTEMS
from benchmarks.systems.llama_server import LlamaServer
from benchmarks.systems.ours import role
from benchmarks.systems.usage import ProcessTree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python -m llm_manager server --quickstart", "launcher"),
        ("/usr/bin/redis-server unixsocket:/data/redis.sock", "redis"),
        ("python -m llm_manager web --fd 3", "web"),
        ("python -m llm_manager run_engine", "engine"),
        ("python -m inference.worker.main", "worker"),
    ],
)
def test_role_by_command_line(command: str, expected: str) -> None:
    assert role(command.split()) == expected


def test_every_named_system_is_there() -> None:
    names = {system.name for system in SYSTEMS}
    assert set(DEFAULT_SYSTEMS) <= names
    assert set(BASELINES) <= names


def test_a_server_that_is_not_there_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLAMA_SERVER", str(tmp_path / "llama-server"))
    how = LlamaServer("llama-server", ()).missing()
    assert how is not None
    assert "make bench-peers" in how
    (tmp_path / "llama-server").touch()
    assert LlamaServer("llama-server", ()).missing() is None


def test_the_processor_time_of_each_process_is_exact() -> None:
    # It has used some milliseconds in a thread that has ended, and says how many.
    program = """
import threading, time
thread = threading.Thread(target=lambda: sum(range(200_000)))
thread.start()
thread.join()
print(time.process_time_ns(), flush=True)
input()
"""
    tree = ProcessTree(os.getpid(), lambda command: command[-1])
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout is not None
        said_s = int(started.stdout.readline()) / 1e9
        used_s = tree.cpu_s()[program, started.pid]
        started.communicate("\n")
    assert said_s <= used_s < said_s + 1


def test_the_waits_of_all_threads_are_counted() -> None:
    begun, done = threading.Barrier(2), threading.Event()

    def wait_often() -> None:
        for _ in range(20):
            done.wait(0.001)
        begun.wait()
        done.wait()

    tree = ProcessTree(os.getpid(), lambda command: command[-1])
    before = tree.wakeups()
    thread = threading.Thread(target=wait_often)
    thread.start()
    begun.wait()
    try:
        assert tree.wakeups() - before >= 20
    finally:
        done.set()
        thread.join()
