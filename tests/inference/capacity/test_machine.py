"""What a machine has, as another process finds it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from inference.capacity.machine import COMMON_REPACKS, Gpu, Machine
from inference.node import machine_probe
from tests.factories import GIB, make_node

if TYPE_CHECKING:
    from pathlib import Path

CARD = Gpu("CUDA0", "a card", 16 * GIB, 10 * GIB)


def test_a_machine_goes_through_json() -> None:
    machine = Machine((CARD,), frozenset({"Q4_0"}))
    assert Machine.from_json(machine.as_json()) == machine


@pytest.mark.django_db
def test_models_may_take_what_is_free_of_a_gpu() -> None:
    node = make_node(memory_limit=5, hardware=Machine((CARD,)).as_json())
    node.refresh_from_db()
    assert node.machine == Machine((CARD,))
    assert node.limits == (5, int(9.5 * GIB))
    assert make_node("old").machine == Machine(repacks=COMMON_REPACKS)


@pytest.mark.model
async def test_another_process_asks_llama_cpp() -> None:
    machine = await machine_probe.machine_probe()
    assert isinstance(machine.repacks, frozenset)
    assert all(gpu.total for gpu in machine.gpus)


async def test_without_an_answer_the_engine_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho no llama.cpp >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(failing))
    assert await machine_probe.machine_probe() == Machine()
    assert "no llama.cpp" in caplog.text
