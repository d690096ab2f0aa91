"""Each load is written down: who asked, with what, how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from asgiref.sync import sync_to_async

from inference import services
from inference.loads import history
from inference.models import ModelLoad, Worker
from tests.inference.node.engine import FakeProcess, limit, load, request_load, small

if TYPE_CHECKING:
    from tests.inference.node.engine import Engine

pytestmark = pytest.mark.django_db(transaction=True)


async def loads() -> list[ModelLoad]:
    return [each async for each in ModelLoad.objects.all()]


async def test_a_load_has_who_asked_its_settings_and_how_long_it_took(
    engine: Engine,
) -> None:
    model = await sync_to_async(small)("m", n_ctx=512, cache_type_k="q8_0")
    await sync_to_async(services.worker_request)(model=model, by="olga")
    await engine.look()
    (row,) = await loads()
    assert (row.result, row.requested_by) == ("loading", "olga")
    assert (row.n_ctx, row.settings["cache_type_k"]) == (512, "q8_0")
    FakeProcess.made[0].become(state="ready", n_ctx=512, n_seq_max=8)
    await engine.look()
    (row,) = await loads()
    assert (row.result, row.seconds) == ("loaded", 1.5)
    assert row.node_name
    assert row.ended_at is not None


async def test_a_load_that_fails_keeps_llama_cpps_words(engine: Engine) -> None:
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    process = FakeProcess.made[0]
    process.become(state="failed", error="unknown model architecture: 'new'")
    process.is_running = False
    await engine.look()
    (row,) = await loads()
    assert row.result == "failed"
    assert row.error == "unknown model architecture: 'new'"


async def test_what_cannot_be_started_is_a_load_that_failed(engine: Engine) -> None:
    model = await sync_to_async(small)("m")
    await limit(engine, memory_limit=1)
    await request_load(model)
    await engine.look()
    (row,) = await loads()
    assert row.result == "failed"
    assert "It needs at least" in row.error


async def test_a_model_that_is_unloaded_while_it_loads_was_stopped(
    engine: Engine,
) -> None:
    model = await sync_to_async(small)("m")
    await request_load(model)
    await engine.look()
    await sync_to_async(services.worker_release)(model=model)
    await engine.look()
    FakeProcess.made[0].is_running = False
    await engine.look()
    (row,) = await loads()
    assert row.result == "stopped"


async def test_what_is_unloaded_later_stays_loaded_in_the_history(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    model = (await Worker.objects.select_related("model").aget()).model
    await sync_to_async(services.worker_release)(model=model)
    await engine.look()
    process.is_running = False
    await engine.look()
    (row,) = await loads()
    assert row.result == "loaded"


async def test_a_load_whose_node_died_is_settled_by_the_next_one(
    engine: Engine,
) -> None:
    model = await sync_to_async(small)("m")
    await request_load(model)
    await engine.look()
    await Worker.objects.all().adelete()
    await request_load(model)
    await engine.look()
    assert [row.result for row in await loads()] == ["loading", "interrupted"]


async def test_of_many_loads_the_last_fifty_are_kept(engine: Engine) -> None:
    await request_load(await sync_to_async(small)("m"))
    worker = await Worker.objects.aget()
    for number in range(53):
        await sync_to_async(history.load_refused)(worker, node="box", error=f"{number}")
    rows = await loads()
    assert [row.error for row in rows] == [f"{n}" for n in range(52, 2, -1)]
