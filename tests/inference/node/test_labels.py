"""Models go to nodes with the labels that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError

from inference.placing.drains import node_drain
from inference.placing.labels import labels_of_machine
from inference.placing.recent_nodes import RecentNodes
from registry.load_settings import labels_in
from tests.configuration import changed
from tests.factories import make_node
from tests.fakes import Clock
from tests.inference.node.engine import Engine, request_load, row, small

if TYPE_CHECKING:
    from inference.models import EngineNode

pytestmark = pytest.mark.django_db(transaction=True)


def here(engine: Engine) -> EngineNode:
    node = engine.supervisor._node
    assert node is not None
    return node


def test_a_machine_has_its_kind_beside_the_labels_of_its_configuration() -> None:
    assert labels_of_machine("zone=a, fast", has_gpus=False) == [
        "cpu",
        "fast",
        "zone=a",
    ]
    assert labels_of_machine("", has_gpus=True) == ["gpu"]


@pytest.mark.parametrize("text", ["zone = a", "=a", "a b", "<x>", "a=b=c"])
def test_what_is_no_label_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="is no label"):
        labels_in(text)


@pytest.mark.django_db
def test_a_model_with_a_wrong_label_cannot_be_saved_in_the_admin() -> None:
    model = small("m", node_labels="zone = a")
    with pytest.raises(ValidationError, match="is no label"):
        model.clean_fields()


async def test_a_model_is_loaded_where_all_of_its_labels_are(engine: Engine) -> None:
    node = here(engine)
    assert node.labels == ["cpu"]
    node.labels = ["cpu", "zone=a"]
    await request_load(await sync_to_async(small)("m", node_labels="zone=a, cpu"))
    await engine.look()
    assert (await row("m")).node_id == node.pk


async def test_a_model_waits_for_the_node_that_has_its_labels(engine: Engine) -> None:
    await sync_to_async(make_node)("far", labels=["gpu", "zone=b"])
    await request_load(await sync_to_async(small)("m", node_labels="gpu"))
    await engine.look()
    found = await row("m")
    assert (found.node_id, found.error) == (None, "")


async def test_a_model_whose_labels_no_node_has_fails_with_a_sentence(
    engine: Engine,
) -> None:
    await sync_to_async(make_node)("far", labels=["gpu"])
    await request_load(await sync_to_async(small)("m", node_labels="gpu, zone=b"))
    await engine.look()
    found = await row("m")
    assert found.state == "failed"
    assert "has the labels that it needs (gpu, zone=b)" in found.error


async def test_memory_of_a_node_without_its_labels_is_nothing_to_wait_for(
    engine: Engine,
) -> None:
    node = here(engine)
    node.labels, node.memory_limit = ["fast"], 1
    await node.asave()
    await sync_to_async(make_node)("far", labels=["cpu"])
    await request_load(await sync_to_async(small)("m", node_labels="fast"))
    await engine.look()
    assert (await row("m")).state == "failed"


async def test_the_configurations_labels_are_needed_by_models_without_their_own(
    engine: Engine, settings: Any
) -> None:
    settings.CONFIG = changed(settings.CONFIG, engine__node_labels="ssd")
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    assert "(ssd)" in (await row("m")).error


async def test_requests_wait_while_the_only_node_with_their_labels_restarts(
    engine: Engine,
) -> None:
    clock = Clock()
    engine.supervisor._starter.seen = seen = RecentNodes(clock=clock)
    seen.see({"far": ["gpu"]}, keep_s=600)
    await request_load(await sync_to_async(small)("m", node_labels="gpu"))
    clock.now += 60
    await engine.look()
    found = await row("m")
    assert (found.state, found.node_id) == ("requested", None)
    assert found.error == "Waiting for the machine far, which has the labels for it."
    clock.now += 3600
    await engine.look()
    assert (await row("m")).state == "failed"


async def test_a_drained_node_is_not_waited_for(engine: Engine) -> None:
    far = await sync_to_async(make_node)("far", labels=["gpu"])
    engine.supervisor._starter.seen.see({"far": ["gpu"]}, keep_s=600)
    await sync_to_async(node_drain)(node=far)
    await request_load(await sync_to_async(small)("m", node_labels="gpu"))
    await engine.look()
    assert (await row("m")).state == "failed"
