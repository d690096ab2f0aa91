"""The admin's first page and its sidebar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.utils import timezone

from registry.models import FileState, ScanRun
from tests.admin_pages import count_queries
from tests.factories import make_api_key, make_model, make_node, make_user, make_worker

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

pytestmark = pytest.mark.django_db

LINKS = {
    "/admin/registry/model/",
    "/admin/registry/scanrun/",
    "/admin/inference/worker/",
    "/admin/accounts/apikey/",
    "/admin/auth/user/",
    "/admin/auth/group/",
}


def record(user: User, message: str) -> None:
    model = make_model()
    LogEntry.objects.log_actions(user.pk, [model], CHANGE, message, single_object=True)


def links(html: str) -> set[str]:
    return {link for link in LINKS if f'href="{link}"' in html}


def test_dashboard_shows_the_numbers(admin_client: Client, admin_user: User) -> None:
    node = make_node("gpu-01", max_models=3)
    make_worker(make_model("llama"), node, running=5, waiting=2)
    make_model(state=FileState.MISSING)
    make_api_key()
    make_api_key()[0].revoke()
    ScanRun.objects.create(finished_at=timezone.now(), new=4)
    record(admin_user, "Changed Context.")
    response = admin_client.get("/admin/")
    context, html = response.context, response.content.decode()
    assert context["models"] == {"found": 2, "without_file": 1, "enabled": 2}
    assert (context["engine"].ready, context["engine"].capacity) == (1, 3)
    assert (context["engine"].running, context["engine"].waiting) == (5, 2)
    assert context["num_keys"] == 1
    for text in (
        "gpu-01",
        "llama",
        "4 new",
        "Changed Context.",
        "Scan now",
        "1 without a file",
    ):
        assert text in html
    assert links(html) == LINKS


def test_dashboard_says_that_no_key_is_required(
    admin_client: Client, settings: Any
) -> None:
    assert "auth.required is false" not in admin_client.get("/admin/").content.decode()
    settings.AUTH_REQUIRED = False
    assert "auth.required is false" in admin_client.get("/admin/").content.decode()


def test_dashboard_costs_nine_queries(admin_client: Client, admin_user: User) -> None:
    def grow() -> None:
        make_worker(make_model(), make_node(f"node-{LogEntry.objects.count()}"))
        make_api_key()
        record(admin_user, "Changed.")

    grow()
    # Session, user, models, last scan, workers, nodes, keys, notices, recent
    # actions.
    assert count_queries(admin_client, "/admin/") == 9
    for _ in range(5):
        grow()
    assert count_queries(admin_client, "/admin/") == 9


def test_charlie_sees_nothing(client: Client, admin_user: User) -> None:
    make_worker(make_model("secret-model"), make_node("secret-node"))
    make_api_key(name="secret-key")
    record(admin_user, "secret-message")
    client.force_login(make_user("charlie", is_staff=True))
    html = client.get("/admin/").content.decode()
    assert "secret" not in html
    assert "Your account has no permissions yet." in html
    assert links(html) == set()
    assert "Scan now" not in html


def test_viewer_of_models_sees_models_and_own_actions(
    client: Client, admin_user: User
) -> None:
    vera = make_user("vera", "registry.view_model", is_staff=True)
    record(admin_user, "somebody else's")
    record(vera, "her own")
    make_node("gpu-01")
    client.force_login(vera)
    html = client.get("/admin/").content.decode()
    assert links(html) == {"/admin/registry/model/"}
    assert "her own" in html
    assert "somebody else" not in html
    assert "gpu-01" not in html
    assert "Scan now" not in html


def test_login_leads_to_the_dashboard(client: Client) -> None:
    make_user("ada", password="correct horse", is_staff=True)
    body = {"username": "ada", "password": "correct horse"}
    assert client.post("/admin/login/", body)["Location"] == "/admin/"


def test_an_empty_installation_says_what_to_do_and_where_models_go(
    admin_client: Client, settings: Any
) -> None:
    for path in ("/admin/", "/admin/registry/model/"):
        html = admin_client.get(path).content.decode()
        steps = html[html.index('id="first-steps"') :]
        assert str(settings.MODELS_DIR) in steps
        assert 'action="/admin/registry/model/scan/"' in steps
        assert 'href="/admin/accounts/apikey/add/"' in steps


def test_first_steps_go_when_they_are_done(admin_client: Client) -> None:
    make_model()
    html = admin_client.get("/admin/").content.decode()
    assert html.count('class="lm-done"') == 2
    assert (
        "first-steps" not in admin_client.get("/admin/registry/model/").content.decode()
    )
    make_api_key()
    assert "first-steps" not in admin_client.get("/admin/").content.decode()


def test_a_viewer_sees_no_buttons_in_the_first_steps(client: Client) -> None:
    client.force_login(make_user("vera", "registry.view_model", is_staff=True))
    html = client.get("/admin/registry/model/").content.decode()
    assert "first-steps" in html
    assert "Scan now" not in html
    assert "New API key" not in html


def test_dashboard_shows_the_base_url(admin_client: Client) -> None:
    html = admin_client.get("/admin/", HTTP_HOST="llm.example.org").content.decode()
    assert ">http://llm.example.org/v1</code>" in html
    assert 'data-copy="base-url"' in html
