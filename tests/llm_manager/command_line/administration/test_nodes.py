from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.factories import make_model, make_node, make_worker
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
    assert printed.splitlines()[-1].split() == ["here", "drains", "cpu", "m", "2"]
    assert door.json("node", "undrain", "here")["drain"] is None


@BOTH
def test_a_node_that_there_is_not_is_an_error(door: Verbs) -> None:
    status, _, said = door("node", "drain", "nowhere")
    assert status != 0
    assert "There is no node 'nowhere'." in said
