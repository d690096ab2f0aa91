"""Adapters between a web process and a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.engine import SamplingParams
from inference.errors import EngineUnavailable
from tests.inference.engine.fakes import FakeBackend
from tests.inference.engine.test_walk import written
from tests.inference.world import WAIT_S, collect, text_of

if TYPE_CHECKING:
    from inference.engine.config.adapters import Adapters
    from tests.inference.world import World

PIRATE: Adapters = (("pirate", 0.5),)


async def test_a_request_runs_under_its_adapters(world: World) -> None:
    world.start_worker(FakeBackend(n_ctx=8192, adapters=("pirate",)))
    prompt = "a prompt"
    params = SamplingParams(max_tokens=200)
    plain = await world.submit(prompt, params=params)
    changed = await world.submit(prompt, params=params, adapters=PIRATE)
    assert (await plain.events(WAIT_S))[0].request_id == plain.request_id
    await plain.aclose()
    text = ""
    while len(text) < 20:
        text += text_of(await changed.events(WAIT_S))
    await changed.aclose()
    assert text == written(prompt, len(text), PIRATE)


async def test_a_request_for_an_adapter_that_is_not_loaded_yet_may_be_retried(
    world: World,
) -> None:
    world.start_worker(FakeBackend())
    stream = await world.submit("a prompt", adapters=PIRATE)
    with pytest.raises(EngineUnavailable, match="'pirate'") as caught:
        await collect(stream)
    assert caught.value.retry_after
