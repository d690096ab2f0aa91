"""/v1/admin/upstreams, /v1/admin/upstream-models and /v1/admin/routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from auditlog.models import LogEntry

from accounts.models import Scope
from registry.errors import ModelNotFound
from registry.models import Model, Upstream
from tests.configuration import unchecked
from tests.factories import make_api_key, make_model
from tests.inference.api.conftest import Api

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)
THERE = {"name": "there", "base_url": "https://api.example.org/v1", "key": "sk-1"}
FAR = {"name": "far", "upstream": "there", "remote_name": "far-away"}


@pytest.fixture
def admin(settings: Any) -> Callable[..., Any]:
    """A program with a key of the scope "admin"."""
    settings.CONFIG = unchecked(settings.CONFIG, upstreams__private_hosts=("10.0.0.5",))
    _, secret = make_api_key(scopes=[Scope.ADMIN, Scope.MODELS], rate_limit=0)
    send = async_to_sync(Api(secret).send)

    def call(method: str, path: str, body: Any = None, status: int = 200) -> Any:
        response = send(method, f"/v1/admin/{path}", body)
        assert response.status_code == status, response.content
        return response.json()

    return call


def test_an_upstream_is_added_changed_and_removed_and_its_key_is_in_no_answer(
    admin: Callable[..., Any],
) -> None:
    added = admin("POST", "upstreams", THERE, status=201)
    assert added["has_key"]
    assert (added["state"], added["paused_until"]) == ("not checked", None)
    assert "sk-1" not in str(added)
    assert Upstream.objects.get().key == "sk-1"

    changed = admin("PATCH", "upstreams/there", {"key": None, "dialect": "vllm"})
    assert (changed["has_key"], changed["dialect"]) == (False, "vllm")

    admin("POST", "upstream-models", FAR, status=201)
    assert admin("DELETE", "upstreams/there", status=400)["error"]["code"] == "in_use"
    admin("DELETE", "upstream-models/far")
    admin("DELETE", "upstreams/there")
    assert admin("GET", "upstreams")["data"] == []
    assert not Model.objects.exists()
    log = str(list(LogEntry.objects.values_list("changes", flat=True)))
    assert "sk-1" not in log
    assert "far-away" in log


def test_an_upstream_that_moves_needs_its_key_again(
    admin: Callable[..., Any],
) -> None:
    admin("POST", "upstreams", THERE, status=201)
    moved = {"base_url": "https://evil.example/v1"}
    error = admin("PATCH", "upstreams/there", moved, status=400)["error"]
    assert error["param"] == "base_url"
    changed = admin("PATCH", "upstreams/there", {**moved, "key": "sk-1"})
    assert changed["base_url"] == moved["base_url"]


@pytest.mark.parametrize(
    "url", ["http://api.example.org/v1", "http://127.0.0.1:6379", "https://10.0.0.6:1"]
)
def test_an_address_that_is_not_permitted_is_refused(
    admin: Callable[..., Any], url: str
) -> None:
    error = admin("POST", "upstreams", {**THERE, "base_url": url}, status=400)["error"]
    assert error["param"] == "base_url"


def test_a_model_of_an_upstream_has_a_name_that_nothing_else_has(
    admin: Callable[..., Any],
) -> None:
    make_model("far")
    admin("POST", "upstreams", THERE, status=201)
    error = admin("POST", "upstream-models", FAR, status=400)["error"]
    assert error["param"] == "name"


def test_a_route_is_added_changed_and_removed(admin: Callable[..., Any]) -> None:
    make_model("tiny")
    make_model("large")
    targets = [{"model": "tiny", "weight": 95}, {"model": "large", "weight": 5}]
    body = {"name": "best", "targets": targets, "falls_back": True}
    assert admin("POST", "routes", body, status=201)["targets"] == targets
    changed = admin(
        "PATCH",
        "routes/best",
        {"targets": targets[:1], "forced_parameters": {"seed": 1}},
    )
    assert changed["targets"] == targets[:1]
    assert changed["forced_parameters"] == {"seed": 1}
    [listed] = admin("GET", "routes")["data"]
    assert listed == changed
    admin("DELETE", "routes/best")
    assert Model.objects.count() == 2


def test_a_route_and_a_model_of_an_upstream_have_aliases_with_wildcards(
    admin: Callable[..., Any],
) -> None:
    make_model("tiny")
    body = {"name": "best", "targets": [{"model": "tiny"}], "aliases": ["gpt-*", "o3"]}
    assert admin("POST", "routes", body, status=201)["aliases"] == ["gpt-*", "o3"]
    assert Model.objects.by_wildcard("gpt-5").name == "best"
    changed = admin("PATCH", "routes/best", {"aliases": ["claude-*", "o3"]})
    assert changed["aliases"] == ["claude-*", "o3"]
    with pytest.raises(ModelNotFound):
        Model.objects.by_wildcard("gpt-5")
    # Other changes leave them.
    assert (
        admin("PATCH", "routes/best", {"falls_back": True})["aliases"]
        == (changed["aliases"])
    )
    admin("POST", "upstreams", THERE, status=201)
    far = admin("POST", "upstream-models", {**FAR, "aliases": ["x-*"]}, status=201)
    assert far["aliases"] == ["x-*"]
    changed = admin("PATCH", "upstream-models/far", {"aliases": []})
    assert changed["aliases"] == []


def test_an_alias_that_something_else_has_is_refused_and_nothing_is_kept(
    admin: Callable[..., Any],
) -> None:
    make_model("tiny")
    target = [{"model": "tiny"}]
    admin(
        "POST", "routes", {"name": "a", "targets": target, "aliases": ["x"]}, status=201
    )
    for taken in ("tiny", "x"):
        body = {"name": "b", "targets": target, "aliases": ["free", taken]}
        error = admin("POST", "routes", body, status=400)["error"]
        assert (error["param"], taken in error["message"]) == ("aliases", True)
    assert [each["name"] for each in admin("GET", "routes")["data"]] == ["a"]


def test_a_route_cannot_lead_to_a_route_or_set_what_the_client_says(
    admin: Callable[..., Any],
) -> None:
    make_model("tiny")
    body = {"name": "best", "targets": [{"model": "tiny"}]}
    admin("POST", "routes", body, status=201)
    again = {"name": "more", "targets": [{"model": "best"}]}
    assert admin("POST", "routes", again, status=400)["error"]["param"] == "model"
    forced: Any = {"forced_parameters": {"messages": []}}
    error = admin("PATCH", "routes/best", forced, status=400)["error"]
    assert error["param"] == "forced_parameters"
