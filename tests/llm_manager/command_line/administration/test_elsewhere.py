"""`llm-manager upstream` and `llm-manager route`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.models import Upstream
from tests.factories import make_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.llm_manager.command_line.administration.conftest import Verbs

pytestmark = pytest.mark.django_db


def test_upstreams_and_their_models_are_added_listed_and_removed(
    verbs: Verbs, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("sk-1\n")
    url = "https://api.example.org/v1"
    options = ["--dialect", "vllm", "--key-file", str(key)]
    assert verbs("upstream", "add", "there", url, *options)[0] == 0
    assert Upstream.objects.get().key == "sk-1"
    alias = ["--alias", "qwen-*"]
    assert verbs("upstream", "add-model", "far", "there", "far-away", *alias)[0] == 0
    _, shown, _ = verbs("upstream", "list")
    for text in (url, "vllm", "not checked", "far-away", "chat", "qwen-*"):
        assert text in shown
    assert "sk-1" not in shown
    assert verbs("upstream", "remove", "there")[0] == 1
    assert verbs("upstream", "remove-model", "far")[0] == 0
    assert verbs("upstream", "remove", "there")[0] == 0


def test_a_route_has_the_weights_that_were_written(verbs: Verbs) -> None:
    make_model("small")
    make_model("large")
    options = ["--falls-back", "--alias", "gpt-*", "--alias", "o3"]
    added = verbs("route", "add", "best", "small=95", "large=5", *options)
    assert added[0] == 0
    _, shown, _ = verbs("route", "list")
    assert "small=95, large=5" in shown
    assert "yes" in shown
    assert "gpt-*, o3" in shown
    assert verbs("route", "remove", "best")[0] == 0
