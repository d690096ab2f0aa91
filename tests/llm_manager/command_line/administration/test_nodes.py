from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.models import EngineNode
from tests.factories import make_model, make_node, make_worker
from tests.inference.admin.test_node_files import node_with
from tests.llm_manager.command_line.administration.conftest import BOTH

if TYPE_CHECKING:
    from tests.llm_manager.command_line.administration.conftest import Verbs

pytestmark = pytest.mark.django_db


@BOTH
def test_a_node_is_drained_and_undrained(door: Verbs) -> None:
    make_worker(make_model("m"), make_node("here", labels=["cpu"]), running=2)
    assert door.json("node", "list")["data"][0]["drain"] is None
    drained = door.json("node", "drain", "here", "--now")
    assert drained["drain"]["now"] is True
    status, printed, _ = door("node", "list")
    assert status == 0
    assert printed.splitlines()[-1].split() == ["here", "drains", "cpu", "m", "2", "-"]
    assert door.json("node", "undrain", "here")["drain"] is None


@BOTH
def test_a_node_that_there_is_not_is_an_error(door: Verbs) -> None:
    status, _, said = door("node", "drain", "nowhere")
    assert status != 0
    assert "There is no node 'nowhere'." in said


@BOTH
def test_a_node_s_files_are_listed_and_a_model_is_pulled(door: Verbs) -> None:
    model = make_model("m")
    far, near = node_with("far", model), node_with("near")
    EngineNode.objects.filter(pk=far.pk).update(files_address="10.0.0.9:8791")
    EngineNode.objects.filter(pk=near.pk).update(pulls_from="nodes")
    status, printed, _ = door("node", "files", "far")
    assert status == 0
    assert "/models/m.gguf" in printed
    assert door.json("node", "files", "far")["data"][0]["models"] == ["m"]
    assert "5.0 GiB" in door("node", "list")[1]
    status, printed, _ = door("node", "pull", "near", "m")
    assert (status, printed.strip()) == (0, "near fetches m: 1 download.")
    assert door.json("node", "pull", "near", "m")["downloads"]
    EngineNode.objects.filter(pk=near.pk).update(pull_mb_per_s=50)
    _, printed, _ = door("node", "pull", "near", "m")
    assert printed.strip() == "near fetches m: 1 download, at most 50 MiB/s."
    status, _, said = door("node", "pull", "far", "m")
    assert status != 0
    assert "far has all files of 'm'." in said
