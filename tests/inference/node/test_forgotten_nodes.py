"""Nodes that are gone are forgotten, in rows and in memory."""

from __future__ import annotations

import platform
from datetime import timedelta

import pytest

from inference.models import EngineNode, Worker, WorkerState
from inference.node.files.elsewhere import FilesElsewhere
from inference.node.housekeeping import nodes_forget
from inference.node.worker_rows import node_beat, node_register
from inference.placing.recent_nodes import RecentNodes
from llm_manager.lib.clocks.database_clock import database_now
from registry.models import ModelCopy
from tests.factories import make_model, make_node, make_worker

pytestmark = pytest.mark.django_db


def silent(name: str, **since: float) -> EngineNode:
    """Save a node that was heard so long ago."""
    node = make_node(name)
    node.heartbeat_at = database_now() - timedelta(**since)
    node.save()
    return node


def test_a_node_that_was_silent_for_a_day_is_forgotten_with_its_files() -> None:
    gone, away = silent("pod-x7k2", hours=25), silent("desk", hours=23)
    silent(platform.node(), hours=25)
    for node in (gone, away):
        ModelCopy.objects.create(
            node=node, path="/m.gguf", size=1, mtime_ns=1, fingerprint="a" * 64
        )
    worker = make_worker(make_model("m"), node=gone, state=WorkerState.READY)
    assert nodes_forget() == 1
    assert nodes_forget() == 0
    names = set(EngineNode.objects.values_list("name", flat=True))
    assert names == {"desk", platform.node()}
    assert [copy.node for copy in ModelCopy.objects.all()] == [away]
    freed = Worker.objects.get(pk=worker.pk)
    assert (freed.node, freed.state) == (None, WorkerState.REQUESTED)


def test_a_node_that_comes_back_after_it_was_forgotten_has_its_row_again() -> None:
    node = node_register()
    EngineNode.objects.all().delete()
    node_beat(node)
    found = EngineNode.objects.get()
    assert (found.pk, found.name, found.is_alive) == (node.pk, platform.node(), True)
    node_beat(node)
    assert EngineNode.objects.count() == 1


def test_the_memory_of_a_process_forgets_names_that_nobody_waits_for() -> None:
    now = 0.0
    seen = RecentNodes(clock=lambda: now)
    for number in range(100):
        now += 10
        seen.see({f"pod-{number}": ["gpu"]}, keep_s=60)
    assert len(seen) == 7
    assert seen.lately(frozenset({"gpu"}), within_s=60) == "pod-99"


def test_files_of_nodes_that_are_gone_are_not_kept() -> None:
    here = make_node("here")
    elsewhere = FilesElsewhere()
    make_node("pod")
    assert set(elsewhere.now(here)) == {"pod"}
    EngineNode.objects.filter(name="pod").delete()
    assert elsewhere.now(here) == {}
    assert elsewhere._read == {}
