"""Drains of nodes in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import reverse

from inference.models import NodeDrain
from tests.factories import make_model, make_node, make_user, make_worker

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

ENGINE = reverse("admin:inference_worker_changelist")


def browser(*permissions: str) -> Client:
    user: User = make_user(None, *permissions, is_staff=True)
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client


def drainer() -> Client:
    return browser("inference.view_worker", "inference.change_enginenode")


def test_the_page_asks_and_says_which_worker_cannot_go_elsewhere() -> None:
    node = make_node("here", labels=["gpu"])
    make_worker(make_model("bound", node_labels="gpu"), node, running=3)
    make_node("there", labels=["cpu"], memory_limit=2**50)
    make_worker(make_model("free"), node)
    url = reverse("admin:inference_enginenode_drain", args=[node.pk])
    page = drainer().get(url).content.decode()
    assert "Drain here?" in page
    assert page.count("no other node can take it") == 1
    assert page.index("bound") < page.index("no other node can take it")
    assert not NodeDrain.objects.exists()


@pytest.mark.parametrize("now", [False, True])
def test_a_node_is_drained_and_takes_workers_again(now: bool) -> None:
    node = make_node("here")
    make_worker(make_model("m"), node)
    client = drainer()
    url = reverse("admin:inference_enginenode_drain", args=[node.pk])
    assert client.post(url, {"now": "on"} if now else {}).status_code == 302
    assert NodeDrain.objects.get().is_now is now
    page = client.get(ENGINE).content.decode()
    assert "drained" in page
    assert "these have to go: m" in page
    client.post(reverse("admin:inference_enginenode_undrain"), {"node": node.pk})
    assert not NodeDrain.objects.exists()
    assert "Undrain" not in client.get(ENGINE).content.decode()


def test_who_may_not_change_nodes_sees_no_button_and_can_drain_none() -> None:
    node = make_node("here")
    client = browser("inference.view_worker", "inference.view_enginenode")
    assert ">Drain" not in client.get(ENGINE).content.decode()
    url = reverse("admin:inference_enginenode_drain", args=[node.pk])
    undrain = reverse("admin:inference_enginenode_undrain")
    assert client.post(url).status_code == 403
    assert client.post(undrain, {"node": node.pk}).status_code == 403
    assert not NodeDrain.objects.exists()
