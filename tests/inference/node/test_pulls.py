"""A node fetches a requested model that no node with its files can load."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from inference import services
from inference.models import EngineNode, NodeDrain
from registry.models import Download, Model
from registry.services import model_scan
from tests.factories import make_worker
from tests.inference.node.engine import Engine, FakeProcess, request_load, row
from tests.inference.node.test_own_files import far_node, here, put_copy, reported
from tests.registry.copies.test_report import put

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)

State = Download.State
#: No model fits into one byte.
FULL: dict[str, Any] = {"memory_limit": 1}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    """The models directory of this machine, which is empty."""
    settings.MODELS_DIR = tmp_path / "here"
    settings.MODELS_DIR.mkdir()
    return tmp_path / "here"


@pytest.fixture
async def model(engine: Engine, tmp_path: Path) -> Model:
    """A model whose file this machine lacks, and may fetch."""
    node = here(engine)
    node.pulls_from = "nodes"
    await node.asave()
    await reported(engine)
    put(tmp_path / "there", "m")
    await sync_to_async(model_scan)(roots=[tmp_path / "there"])
    # That is a path on another machine.
    (tmp_path / "there" / "m.gguf").rename(tmp_path / "sent")
    return await Model.objects.aget()


async def far(model: Model, name: str = "far", **overrides: Any) -> EngineNode:
    """A machine that has the model and sends it."""

    def write() -> EngineNode:
        address = "10.0.0.9:8791"
        node = far_node(name, files_address=address, **overrides)
        put_copy(model, node)
        return node

    return await sync_to_async(write)()


async def requested(engine: Engine, model: Model) -> Any:
    await request_load(model)
    await engine.look()
    return await row(model.name)


async def test_a_model_that_its_node_has_no_memory_for_is_fetched_and_loaded(
    engine: Engine, model: Model, folder: Path, tmp_path: Path
) -> None:
    await far(model, **FULL)
    found = await requested(engine, model)
    pull = await Download.objects.aget()
    assert (pull.state, pull.node) == (State.ASSIGNED, here(engine).name)
    assert (found.state, found.node_id) == ("requested", None)
    assert found.error.startswith(f"Waiting: {here(engine).name} fetches m.gguf, 0 %")
    await Download.objects.aupdate(state=State.RUNNING, bytes_total=200, bytes_done=100)
    await engine.look()
    assert ", 50 % of" in (await row("m")).error
    shutil.copy(tmp_path / "sent", folder / "m.gguf")
    await Download.objects.aupdate(state=State.DONE)
    await engine.look()
    await engine.look()
    assert FakeProcess.made[-1].spec.engine.paths == (str(folder / "m.gguf"),)


async def test_a_pull_that_fails_fails_the_load_with_its_reason(
    engine: Engine, model: Model
) -> None:
    await far(model, **FULL)
    await requested(engine, model)
    await Download.objects.aupdate(state=State.FAILED, error="The disk is full.")
    await engine.look()
    found = await row("m")
    assert found.state == "failed"
    name = here(engine).name
    assert found.error == f"m.gguf could not be fetched to {name}: The disk is full."
    # The next request tries again.
    await requested(engine, model)
    assert (await Download.objects.aget()).state == State.ASSIGNED


async def test_files_that_vanish_after_a_pull_are_not_fetched_for_ever(
    engine: Engine, model: Model
) -> None:
    await far(model, **FULL)
    await requested(engine, model)
    await Download.objects.aupdate(state=State.DONE)
    await engine.look()
    assert "were taken away again" in (await row("m")).error


async def test_nothing_is_fetched_while_a_node_with_the_files_can_load_it(
    engine: Engine, model: Model
) -> None:
    await far(model)
    found = await requested(engine, model)
    assert (found.state, found.error) == ("requested", "")
    assert not await Download.objects.aexists()


async def test_a_model_of_a_drained_node_is_fetched(
    engine: Engine, model: Model
) -> None:
    node = await far(model)
    await NodeDrain.objects.acreate(node_name=node.name)
    await requested(engine, model)
    assert await Download.objects.filter(state=State.ASSIGNED).aexists()


async def test_a_replica_is_fetched_when_no_memory_is_free_where_the_files_are(
    engine: Engine, model: Model
) -> None:
    node = await far(model, max_models=1)
    await sync_to_async(make_worker)(model, node, device_memory=[node.memory_limit])
    await sync_to_async(services.replicas_set)(model=model, replicas=2, by="ada")
    await engine.look()
    assert await Download.objects.filter(node=here(engine).name).aexists()


async def test_of_several_that_may_the_one_with_most_memory_fetches(
    engine: Engine, model: Model
) -> None:
    await far(model, **FULL)
    await sync_to_async(far_node)("large", pulls_from="nodes", memory_limit=2**50)
    found = await requested(engine, model)
    assert (found.state, found.error) == ("requested", "")
    assert not await Download.objects.aexists()


@pytest.mark.parametrize(
    ("pulls", "hint"),
    [
        ("off", "nodes.pull_models lets machines fetch what they lack."),
        ("hub", "It cannot be fetched: no other machine sends it"),
    ],
)
async def test_a_model_that_nobody_may_fetch_fails_with_what_would_help(
    engine: Engine, model: Model, pulls: str, hint: str
) -> None:
    await EngineNode.objects.aupdate(pulls_from=pulls)
    node = await far(model, **FULL)
    await NodeDrain.objects.acreate(node_name=node.name)
    found = await requested(engine, model)
    assert found.state == "failed"
    assert f"{here(engine).name} lacks m.gguf; far has all, and is drained" in (
        found.error
    )
    assert hint in found.error
    assert not await Download.objects.aexists()
