"""Null characters in what the admin's pages are asked for."""

from __future__ import annotations

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path",
    [
        "registry/model/?kind__exact=%00",
        "registry/model/?architecture=a%00b",
        "registry/model/?state__exact=%00",
        "registry/model/?loaded=%00",
        "registry/model/?q=%00",
        "registry/model/?%00=1",
        "registry/model/?_changelist_filters=%00",
        "registry/model/states/?id=%00",
        "registry/model/%00/change/",
        "registry/model/1%00/history/",
        "accounts/apikey/?owner__id__exact=%00",
        "accounts/apikey/?is_active__exact=%00",
        "auth/user/?groups__id__exact=%00",
        "search/?s=%00",
        "%00/",
    ],
)
def test_an_address_with_a_null_character_is_a_400(
    admin_client: Client, path: str
) -> None:
    response = admin_client.get(f"/admin/{path}")
    assert response.status_code == 400
    assert "Bad request" in response.content.decode()


@pytest.mark.parametrize(
    "body",
    [{"action": "load_models", "_selected_action": "\0"}, {"a\0": "1"}],
)
def test_a_form_with_a_null_character_is_a_400(
    admin_client: Client, body: dict[str, str]
) -> None:
    assert admin_client.post("/admin/registry/model/", body).status_code == 400


def test_a_login_with_a_null_character_is_a_400() -> None:
    form = {"username": "a\0", "password": "b"}
    assert Client().post("/admin/login/", form).status_code == 400
    assert Client().get("/admin/login/?next=%00").status_code == 400
