"""The pages of upstreams, of their models, and of routes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from accounts.usage.ingestion import store
from registry.models import Route, Upstream, UpstreamModel
from tests.accounts.usage.test_ingestion import entry
from tests.factories import (
    make_model,
    make_route,
    make_upstream,
    make_upstream_model,
    make_user,
)

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
UPSTREAMS = "/admin/registry/upstream/"
FORM = {
    "name": "there",
    "base_url": "https://api.example.org/v1",
    "dialect": "vllm",
    "is_enabled": "on",
    "connect_timeout_s": "5",
    "read_timeout_s": "60",
    "total_timeout_s": "600",
}
ALIASES = {
    "aliases-TOTAL_FORMS": "1",
    "aliases-INITIAL_FORMS": "0",
    "aliases-0-name": "gpt-*",
}


def test_a_page_says_whether_requests_are_sent_to_an_upstream(
    admin_client: Client,
) -> None:
    there = make_upstream()
    page = f"{UPSTREAMS}{there.pk}/change/"
    assert "Closed: requests are sent" in admin_client.get(page).content.decode()
    there.paused_until = timezone.now() + timedelta(minutes=1)
    there.save()
    shown = admin_client.get(page).content.decode()
    assert "Open: it has failed" in shown
    assert "paused" in shown


def test_an_administrator_adds_an_upstream_whose_key_no_page_shows(
    admin_client: Client,
) -> None:
    response = admin_client.post(f"{UPSTREAMS}add/", {**FORM, "key": "sk-secret"})
    assert response.status_code == 302
    upstream = Upstream.objects.get()
    assert upstream.key == "sk-secret"
    page = admin_client.get(f"{UPSTREAMS}{upstream.pk}/change/").content.decode()
    assert "sk-secret" not in page
    assert upstream.sealed_key not in page
    assert "not checked" in page

    admin_client.post(f"{UPSTREAMS}{upstream.pk}/change/", FORM)
    upstream.refresh_from_db()
    assert upstream.key == "sk-secret"
    admin_client.post(f"{UPSTREAMS}{upstream.pk}/change/", {**FORM, "forget_key": "on"})
    upstream.refresh_from_db()
    assert upstream.key == ""


def test_a_key_does_not_go_to_another_server(admin_client: Client) -> None:
    upstream = make_upstream(base_url=FORM["base_url"], key="sk-secret")
    page = f"{UPSTREAMS}{upstream.pk}/change/"
    for moved in ("https://evil.example/v1", "https://api.example.org:8443/v1"):
        refused = admin_client.post(page, {**FORM, "base_url": moved})
        assert "Enter the key again" in refused.content.decode()
        upstream.refresh_from_db()
        assert upstream.base_url == FORM["base_url"]

    other_path = {**FORM, "base_url": "https://api.example.org/v2"}
    assert admin_client.post(page, other_path).status_code == 302
    entered = {**FORM, "base_url": "https://new.example/v1", "key": "sk-secret"}
    assert admin_client.post(page, entered).status_code == 302
    without = {**FORM, "base_url": "https://third.example/v1", "forget_key": "on"}
    assert admin_client.post(page, without).status_code == 302
    upstream.refresh_from_db()
    assert (upstream.base_url, upstream.key) == ("https://third.example/v1", "")


def test_an_address_inside_the_network_is_refused_with_what_permits_it(
    admin_client: Client,
) -> None:
    form = {**FORM, "base_url": "http://127.0.0.1:6379"}
    page = admin_client.post(f"{UPSTREAMS}add/", form).content.decode()
    assert "upstreams.private_hosts" in page
    assert not Upstream.objects.exists()


def test_who_may_edit_models_may_not_add_an_upstream(client: Client) -> None:
    permissions = ("registry.change_model", "registry.view_upstream")
    client.force_login(make_user("anna", *permissions, is_staff=True))
    assert client.get(UPSTREAMS).status_code == 200
    assert client.post(f"{UPSTREAMS}add/", FORM).status_code == 403


def test_a_model_of_an_upstream_is_added_with_an_alias(admin_client: Client) -> None:
    form = {
        "name": "far",
        "upstream": str(make_upstream().pk),
        "remote_name": "far-away",
        "apis": ["chat", "embeddings"],
        "is_enabled": "on",
        "refused_parameters": '["seed"]',
        **ALIASES,
    }
    page = "/admin/registry/upstreammodel/"
    assert admin_client.post(f"{page}add/", form).status_code == 302
    model = UpstreamModel.objects.get()
    assert (model.apis, model.refused_parameters) == (["chat", "embeddings"], ["seed"])
    assert [alias.name for alias in model.aliases.all()] == ["gpt-*"]
    assert "far-away" in admin_client.get(page).content.decode()
    models = admin_client.get("/admin/registry/model/").content.decode()
    assert ">far<" not in models


def test_a_route_is_added_with_its_targets(admin_client: Client) -> None:
    targets = [make_model("tiny"), make_upstream_model()]
    form = {
        "name": "best",
        "is_enabled": "on",
        "falls_back": "on",
        "default_parameters": "{}",
        "forced_parameters": '{"seed": 1}',
        "targets-TOTAL_FORMS": "2",
        "targets-INITIAL_FORMS": "0",
        **ALIASES,
    }
    for number, target in enumerate(targets):
        form[f"targets-{number}-model"] = str(target.pk)
        form[f"targets-{number}-weight"] = str([95, 5][number])
    page = "/admin/registry/route/"
    response = admin_client.post(f"{page}add/", form)
    assert response.status_code == 302
    route = Route.objects.get()
    assert route.forced_parameters == {"seed": 1}
    listed = admin_client.get(page).content.decode()
    assert "tiny 95%, far 5%" in listed
    assert "/admin/playground/?model=best" in listed
    assert admin_client.get(f"{page}{route.pk}/change/").status_code == 200


def test_the_page_of_a_route_says_who_answered_last(admin_client: Client) -> None:
    tiny, far = make_model("tiny"), make_upstream_model()
    route = make_route("best", (tiny, 95), (far, 5))
    page = f"/admin/registry/route/{route.pk}/change/"
    assert "Nobody" in admin_client.get(page).content.decode()
    now = timezone.now()
    minute = timedelta(minutes=1)
    store(
        [
            entry(now - 3 * minute, model_id=tiny.pk, route="best"),
            entry(now - 2 * minute, model_id=tiny.pk),
            entry(now - minute, model_id=far.pk, route="best", fell_back_from="tiny"),
        ]
    )
    html = admin_client.get(page).content.decode()
    last, first = html.index("<strong>far<"), html.index("<strong>tiny<")
    assert last < first
    assert "1 of its newest 1,000 requests, 1 as fallback" in html[last:first]
