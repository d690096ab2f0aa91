"""/v1/admin/nodes, and the verbs of the command line that ask it."""

from __future__ import annotations

from typing import Any

import pytest
from auditlog.models import LogEntry

from inference.models import EngineNode, NodeDrain
from registry.models import Download, ModelCopy
from tests.factories import make_api_key, make_model, make_node, make_worker
from tests.inference.admin.test_node_files import node_with
from tests.inference.api.administration.test_administration import Admin

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin() -> Admin:
    return Admin(*make_api_key(scopes=["admin"]))


def names(found: dict[str, Any]) -> list[str]:
    return [node["name"] for node in found["data"]]


def test_nodes_are_listed_with_their_labels_and_workers(admin: Admin) -> None:
    node = make_node("b", labels=["cpu", "zone=a"])
    make_worker(make_model("m"), node, running=2)
    make_node("a")
    assert names(admin("GET", "nodes")) == ["a", "b"]
    page = admin("GET", "nodes?limit=1")
    assert (names(page), page["has_more"]) == (["a"], True)
    assert names(admin("GET", "nodes?after=a")) == ["b"]
    found = admin("GET", "nodes/b")
    assert (found["labels"], found["drain"]) == (["cpu", "zone=a"], None)
    (worker,) = found["workers"]
    assert (worker["model"], worker["state"], worker["running"]) == ("m", "ready", 2)


def test_a_node_is_drained_and_undrained_and_the_log_says_by_which_key(
    admin: Admin,
) -> None:
    make_node("a")
    drained = admin("POST", "nodes/a/drain", {"now": True})
    assert drained["drain"]["now"] is True
    assert drained["drain"]["by"] == admin.key.owner.username
    assert admin("DELETE", "nodes/a/drain")["drain"] is None
    assert not NodeDrain.objects.exists()
    of_nodes = LogEntry.objects.filter(content_type__model="enginenode")
    events = [entry.additional_data["event"] for entry in of_nodes.order_by("pk")]
    assert events == ["drain requested", "drain ended"]


def test_a_node_s_model_files_are_listed_with_the_models_that_they_are(
    admin: Admin,
) -> None:
    model = make_model("m")
    node = node_with("a", model)
    make_node("old")
    other = {"path": "/models/x.gguf", "size": 5, "fingerprint": "f" * 64}
    ModelCopy.objects.create(node=node, mtime_ns=1, **other)
    found = admin("GET", "nodes/a")
    assert (found["files"]["count"], found["files"]["size"]) == (2, 5 * 2**30 + 5)
    assert [disk["free"] for disk in found["disks"]] == [7 * 2**30]
    assert admin("GET", "nodes/old")["files"] is None
    files = admin("GET", "nodes/a/files")["data"]
    assert [(each["path"], each["models"]) for each in files] == [
        ("/models/m.gguf", ["m"]),
        ("/models/x.gguf", []),
    ]


def test_a_node_is_let_fetch_a_model_and_the_log_says_by_which_key(
    admin: Admin,
) -> None:
    model = make_model("m")
    far = node_with("far", model)
    near = node_with("near")
    EngineNode.objects.filter(pk=far.pk).update(files_address="10.0.0.9:8791")
    refused = admin("POST", "nodes/near/files", {"model": "m"}, status=400)
    assert "nodes.pull_models is off there" in refused["error"]["message"]
    EngineNode.objects.filter(pk=near.pk).update(pulls_from="nodes", pull_mb_per_s=50)
    found = admin("POST", "nodes/near/files", {"model": "m"})
    pull = Download.objects.get()
    assert found["downloads"] == [pull.pk]
    assert (pull.node, pull.state) == ("near", "assigned")
    node = admin("GET", "nodes/near")
    assert (node["pulls_from"], node["pull_mb_per_s"]) == ("nodes", 50)
    assert admin("GET", "nodes/far")["pull_mb_per_s"] is None
    assert found["pull_mb_per_s"] == 50
    (entry,) = LogEntry.objects.filter(content_type__model="enginenode")
    assert entry.additional_data["event"] == "pull requested"
    refused = admin("POST", "nodes/far/files", {"model": "m"}, status=400)
    assert "has all files" in refused["error"]["message"]
    refused = admin("POST", "nodes/far/files", {"model": "x"}, status=400)
    assert refused["error"]["param"] == "model"


def test_an_unknown_node_is_not_found(admin: Admin) -> None:
    for method, path in (("GET", "nodes/x"), ("POST", "nodes/x/drain")):
        body: dict[str, Any] | None = {} if method == "POST" else None
        error = admin(method, path, body, status=404)["error"]
        assert error["message"] == "There is no node 'x'."
