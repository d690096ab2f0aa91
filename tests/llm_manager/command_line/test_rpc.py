"""``llm-manager rpc``: what it refuses, and what it lends."""

from __future__ import annotations

import pytest

from inference.capacity.machine import Gpu, Machine
from llm_manager import cli
from llm_manager.command_line.verbs.running.rpc import lent_devices

GIB = 2**30


@pytest.mark.parametrize("secret", ["", "short"])
def test_without_a_long_secret_nothing_listens(
    secret: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLM_MANAGER_RPC_SECRET", secret)
    assert cli.run(["rpc"]) == 1
    assert "Set rpc.secret (LLM_MANAGER_RPC_SECRET)" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "8.8.8.8"])  # noqa: S104 - refused
def test_it_is_never_open_to_every_network(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLM_MANAGER_RPC_SECRET", "x" * 32)
    assert cli.run(["rpc", "--host", host]) == 1
    assert host in capsys.readouterr().err


def test_a_machine_lends_its_gpus_or_else_its_processor() -> None:
    (lent,) = lent_devices(Machine(cpu="EPYC"), 3 * GIB)
    assert (lent["name"], lent["description"], lent["free"]) == ("CPU", "EPYC", 3 * GIB)
    (free,) = lent_devices(Machine(), 0)
    assert 0 < free["free"] < free["total"]
    gpus = Machine((Gpu("CUDA0", "H200", 9 * GIB, 8 * GIB), Gpu("CUDA1", "", GIB, GIB)))
    assert [each["free"] for each in lent_devices(gpus, 3 * GIB)] == [3 * GIB, GIB]
    assert [each["free"] for each in lent_devices(gpus, 0)] == [8 * GIB, GIB]
