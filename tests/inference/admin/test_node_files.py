"""Which machine has which model, in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from registry.models import Download, ModelCopy
from tests.factories import make_model, make_node
from tests.inference.admin.test_node_drains import browser

if TYPE_CHECKING:
    from inference.models import EngineNode
    from registry.models import Model

pytestmark = pytest.mark.django_db

DISK = {"name": "models", "path": "/models", "total": 100 * 2**30, "error": ""}


def node_with(name: str, *models: Model, fingerprint: str = "") -> EngineNode:
    """Save a node with copies of these models, or with other files of their names."""
    node = make_node(name, disks=[{**DISK, "free": 7 * 2**30}])
    node.files_seen_at = node.started_at
    node.save()
    for model in models:
        ModelCopy.objects.create(
            node=node,
            path=model.path,
            place=model.file_name,
            size=model.file_size,
            mtime_ns=1,
            fingerprint=fingerprint or model.fingerprint,
        )
    return node


def test_a_model_s_page_says_which_machines_have_it() -> None:
    model = make_model("m")
    node_with("alpha", model)
    node_with("beta")
    node_with("gamma", model, fingerprint="f" * 64)
    make_node("old")
    url = reverse("admin:registry_model_status", args=[model.pk])
    page = browser("registry.view_model").get(url).content.decode()
    shown = " ".join(page[page.index('id="copies"') :].split())
    assert "alpha</b> 5.0 GiB" in shown
    assert 'beta</b> <span class="lm-muted">lacks it' in shown
    assert "has another file of this name" in shown
    assert "old" not in shown[: shown.index("</section>")]


def test_a_model_s_page_says_nothing_of_files_on_a_single_machine() -> None:
    model = make_model("m")
    node_with("alpha", model)
    url = reverse("admin:registry_model_status", args=[model.pk])
    page = browser("registry.view_model").get(url).content.decode()
    assert 'id="copies"' not in page


def test_a_node_has_a_page_of_its_files_and_of_the_room_for_more() -> None:
    node = node_with("alpha", make_model("known"))
    ModelCopy.objects.create(
        node=node,
        path="/models/other.gguf",
        size=2**30,
        mtime_ns=1,
        fingerprint="f" * 64,
    )
    url = reverse("admin:inference_enginenode_files", args=[node.pk])
    viewer = browser("inference.view_worker", "inference.view_enginenode")
    page = viewer.get(url).content.decode()
    assert "7.0 GiB of 100 GiB free" in page
    assert "known.gguf" in page
    assert "no model of the registry" in page
    engine = viewer.get(reverse("admin:inference_worker_changelist"))
    assert url in engine.content.decode()
    assert browser("inference.view_worker").get(url).status_code == 403


def test_a_button_lets_a_machine_fetch_what_it_lacks() -> None:
    model = make_model("m")
    far = node_with("alpha", model)
    far.files_address = "10.0.0.9:8791"
    far.save()
    beta = node_with("beta")
    url = reverse("admin:inference_enginenode_pull", args=[model.pk])
    page = reverse("admin:registry_model_status", args=[model.pk])
    client = browser("registry.view_model", "inference.change_enginenode")
    assert url not in client.get(page).content.decode()
    beta.pulls_from = "nodes"
    beta.save()
    assert url in client.get(page).content.decode()
    assert url not in browser("registry.view_model").get(page).content.decode()
    assert browser("registry.view_model").post(url, {}).status_code == 403
    beta.pull_mb_per_s = 50
    beta.save()
    answer = client.post(url, {"node": beta.pk}, follow=True).content.decode()
    assert "Requested: m to beta, at most 50 MiB/s." in answer
    pull = Download.objects.get()
    assert (pull.node, pull.fingerprint) == ("beta", model.fingerprint)
    status = client.get(page).content.decode()
    assert "is being fetched" in status
    assert "at most 50 MiB/s" in status


def test_what_cannot_be_fetched_is_said() -> None:
    model = make_model("m")
    node_with("alpha", model)
    beta = node_with("beta")
    beta.pulls_from = "nodes"
    beta.save()
    url = reverse("admin:inference_enginenode_pull", args=[model.pk])
    client = browser("registry.view_model", "inference.change_enginenode")
    answer = client.post(url, {"node": beta.pk}, follow=True)
    assert "no other machine sends it" in answer.content.decode()
    assert not Download.objects.exists()
