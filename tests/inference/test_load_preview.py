"""What loading a model would do is known before it is done."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from inference.admin.load_effect import load_effect
from inference.load_preview import load_preview, load_previews
from inference.models import WorkerState
from tests.factories import GIB, make_model, make_node, make_worker

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

    from inference.models import EngineNode, Worker
    from registry.models import Model

pytestmark = pytest.mark.django_db


def loaded(name: str, node: EngineNode, *, idle_min: int = 3, **fields: Any) -> Worker:
    """A worker of 8 GiB that was last used some minutes ago."""
    overrides = {
        "device_memory": [8 * GIB],
        "last_used_at": timezone.now() - timedelta(minutes=idle_min, seconds=5),
        **fields,
    }
    return make_worker(make_model(name), node, **overrides)


def effect(model: Model) -> str:
    preview = load_preview(model)
    return "" if preview is None else load_effect(preview)


def test_a_model_that_fits_beside_the_others_says_so() -> None:
    loaded("other", make_node(memory_limit=64 * GIB))
    assert effect(make_model()) == "Now: it fits beside the loaded models."


def test_what_makes_room_is_named_with_its_idle_time() -> None:
    node = make_node(memory_limit=64 * GIB, max_models=2)
    loaded("older", node, idle_min=90)
    loaded("newer", node, idle_min=3)
    assert effect(make_model()) == (
        "Now: loading it makes room by unloading older, idle for 1 h."
    )


def test_requests_that_finish_first_are_counted() -> None:
    node = make_node(memory_limit=64 * GIB, max_models=1)
    loaded("busy", node, running=2)
    assert effect(make_model()) == (
        "Now: loading it makes room by unloading busy, after its 2 running requests."
    )


def test_memory_counts_and_a_pinned_model_stays() -> None:
    node = make_node(memory_limit=17 * GIB, max_models=4)
    pinned = loaded("pinned", node, idle_min=90)
    type(pinned.model).objects.filter(name="pinned").update(is_pinned=True)
    goes = loaded("goes", node)
    preview = load_preview(make_model())
    assert preview is not None
    assert preview.evicts == (goes,)


def test_a_model_that_cannot_fit_says_why() -> None:
    make_node(memory_limit=GIB)
    assert "it needs at least" in effect(make_model())


def test_two_models_one_after_the_other_are_foreseen() -> None:
    node = make_node(memory_limit=64 * GIB, max_models=1)
    other = loaded("other", node)
    first, second = make_model("a"), make_model("b")
    previews = load_previews([first, second])
    assert previews[first.pk].evicts == (other,)
    assert previews[second.pk].unloads == ("a",)
    assert load_effect(previews[second.pk]) == (
        "Now: loading it makes room by unloading a, loaded just before."
    )


def test_the_machine_that_has_room_is_chosen() -> None:
    loaded("other", make_node("full", max_models=1))
    make_node("empty")
    preview = load_preview(make_model())
    assert preview is not None
    assert preview.fits_now


def test_a_loaded_model_and_a_dead_engine_have_no_preview() -> None:
    node = make_node()
    worker = loaded("m", node)
    assert load_preview(worker.model) is None
    node.heartbeat_at = timezone.now() - timedelta(minutes=5)
    node.save()
    assert load_preview(make_model()) is None


def test_a_worker_that_is_unloading_counts_as_gone() -> None:
    node = make_node(max_models=1)
    loaded("other", node, state=WorkerState.DRAINING, is_desired=False)
    preview = load_preview(make_model())
    assert preview is not None
    assert preview.evicts == ()
    assert preview.reason == "It waits until another worker has been unloaded."


def test_many_models_take_few_queries(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    node = make_node(memory_limit=64 * GIB, max_models=2)
    loaded("other", node)
    models = [make_model() for _ in range(5)]
    with django_assert_num_queries(4):
        # Nodes, workers, adapters and context tests.
        load_previews(models)
