"""The admin's pages for requests that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, override_settings

from tests.factories import make_user

pytestmark = pytest.mark.django_db

SIDEBAR = 'id="nav-sidebar"'


def staff(*rights: str) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("mona", *rights, is_staff=True))
    return client


def text_of(response: Any) -> str:
    text: str = response.content.decode()
    return text


def test_a_page_without_permission_says_who_can_give_it() -> None:
    response = staff().get("/admin/registry/model/")
    assert response.status_code == 403
    assert "An administrator can give it the permission" in text_of(response)
    assert SIDEBAR in text_of(response)


def test_an_unknown_page_is_said_with_the_sidebar() -> None:
    response = staff().get("/admin/no/such/page/")
    assert response.status_code == 404
    assert "Page not found" in text_of(response)
    assert SIDEBAR in text_of(response)


def test_an_expired_form_says_that_nothing_was_changed() -> None:
    response = staff("registry.change_model").post("/admin/registry/model/scan/")
    assert response.status_code == 403
    assert "nothing was changed" in text_of(response)
    assert "server.csrf_trusted_origins" in text_of(response)


def test_a_login_from_another_session_sees_no_sidebar() -> None:
    response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x"})
    assert response.status_code == 403
    assert "Form expired" in text_of(response)
    assert SIDEBAR not in text_of(response)
    assert "Models" not in text_of(response)


def test_a_host_name_that_is_not_allowed_is_a_short_400() -> None:
    with override_settings(ALLOWED_HOSTS=["llm.example.org"]):
        response = Client().get("/admin/", HTTP_HOST="evil.example.org")
    assert response.status_code == 400
    assert SIDEBAR not in text_of(response)


def test_a_failure_of_the_server_names_its_log() -> None:
    client = Client(raise_request_exception=False)
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llm_manager.dashboard.page.overview", lambda: 1 / 0)
        response = client.get("/admin/")
    assert response.status_code == 500
    assert "Its log has the reason" in text_of(response)
