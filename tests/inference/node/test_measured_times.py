"""What one worker has measured, the next one of the same model need not."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from inference.engine.config.engine_config import EngineConfig
from inference.engine.scheduling.pacing.measured import Measured
from inference.node.children.measured_times import MeasuredTimes
from tests.inference.node.engine import Engine, FakeProcess, request_load, small

MEASURED = Measured(decodes=((1, 0.01),), pieces=((16, 3, 0.02),))


def config(n_threads: int = 2) -> EngineConfig:
    return EngineConfig(("a.gguf",), n_ctx=512, n_seq_max=4, n_threads=n_threads)


def test_it_is_known_for_an_hour_to_who_loads_the_same_model_in_the_same_way() -> None:
    now = 0.0
    times = MeasuredTimes(clock=lambda: now)
    times.note(config(), MEASURED)
    times.note(config(n_threads=3), None)
    now = 3000.0
    assert times.of(config()) == MEASURED
    assert times.of(config(n_threads=3)) is None
    # A load that took it over has measured nothing.
    times.note(config(), MEASURED)
    now = 4000.0
    assert times.of(config()) is None


@pytest.mark.django_db(transaction=True)
async def test_the_next_worker_of_a_model_gets_what_the_first_has_measured(
    engine: Engine,
) -> None:
    await request_load(await sync_to_async(small)("tiny"))
    await engine.look()
    [first] = FakeProcess.made
    assert first.spec.measured is None
    first.become(state="ready", n_ctx=512, n_seq_max=4, measured=MEASURED)
    await engine.look()
    first.is_running = False
    await engine.look()
    await engine.look()
    [_, second] = FakeProcess.made
    assert second.spec.measured == MEASURED
