"""A key that asks at regular times, beside streams of another: on the sample model."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from inference.engine import EngineConfig, EngineCore, SamplingParams
from inference.engine.llama import LlamaBackend
from inference.engine.request import GenerationRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.model, pytest.mark.long]

#: Longer than a step of three streams, on a slow machine too.
_PAUSE_S = 0.2


@pytest.fixture
def core(sample_model_path: Path) -> Iterator[EngineCore]:
    config = EngineConfig(paths=(str(sample_model_path),), n_ctx=2048, n_seq_max=4)
    core = EngineCore(LlamaBackend(config))
    core.warm_up()
    yield core
    core.close()


def add(core: EngineCore, name: str, key: str, tokens: int) -> None:
    prompt = list(range(100, 120))
    params = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
    core.add(GenerationRequest(name, prompt, params, key=key, owner=key))


def until_waiting(core: EngineCore) -> int:
    """Let the light key ask until no step begins because it is due; count requests."""
    for number in range(60):
        asks_at = time.perf_counter() + _PAUSE_S
        while time.perf_counter() < asks_at:
            core.step()
            if core.wait_s:
                return number
        add(core, f"light {number}", "light", 1)
        while not any(output.is_last for output in core.step()):
            pass
    raise AssertionError("It has never waited.")


def test_no_step_of_others_is_before_the_request_of_a_key_that_is_due(
    core: EngineCore,
) -> None:
    for number in range(3):
        add(core, f"heavy {number}", "heavy", 1900)
    # It has a usual pause once it has come back.
    assert until_waiting(core) >= 2
    steps = core.telemetry.snapshot()["counters"]["steps"]
    add(core, "at last", "light", 1)
    (begun,) = core.step()
    assert begun.is_start
    assert begun.request_id == "at last"
    assert core.telemetry.snapshot()["counters"]["steps"] == steps
    core.step()
    assert core.telemetry.snapshot()["counters"]["wait_seconds"] > 0
