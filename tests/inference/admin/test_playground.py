"""The page of the playground: who gets it, and what it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

from tests.factories import make_model, make_user

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

URL = "/admin/playground/"
LINK = f'href="{URL}"'
PERMISSION = "accounts.use_playground"


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_staff_without_the_permission_get_neither_the_page_nor_a_link_to_it() -> None:
    client = client_of(make_user("sam", "registry.view_model", is_staff=True))
    assert client.get(URL).status_code == 403
    assert LINK not in client.get("/admin/").content.decode()


def test_the_permission_without_staff_status_opens_nothing() -> None:
    client = client_of(make_user("sam", PERMISSION))
    assert client.get(URL).status_code == 302


def test_with_the_permission_the_page_comes_with_its_token() -> None:
    client = client_of(make_user("ada", PERMISSION, is_staff=True))
    assert LINK in client.get("/admin/").content.decode()
    page = client.get(URL)
    assert page.status_code == 200
    assert "csrftoken" in page.cookies
    # No link to rows that she may not see.
    assert "data-usage-url" not in page.content.decode()


def test_who_may_see_usage_gets_a_link_to_the_row_of_an_answer() -> None:
    permissions = (PERMISSION, "accounts.view_usagerecord")
    client = client_of(make_user("ada", *permissions, is_staff=True))
    page = client.get(URL).content.decode()
    assert 'data-usage-url="/admin/accounts/usagerecord/"' in page


def test_the_model_of_a_link_is_text_whatever_it_says() -> None:
    client = client_of(make_user("ada", PERMISSION, is_staff=True))
    page = client.get(URL, {"model": '"><script>'}).content.decode()
    assert 'data-model="&quot;&gt;&lt;script&gt;"' in page


def test_the_page_of_a_model_that_chats_leads_to_it() -> None:
    model = make_model("org/tiny", chat_template="{{ messages }}")
    link = f'href="{URL}?model=org/tiny"'
    page = f"/admin/registry/model/{model.pk}/change/"
    for permissions, is_there in ((("registry.view_model",), False), ((), True)):
        user = make_user(None, *permissions, is_staff=True, is_superuser=is_there)
        assert (link in client_of(user).get(page).content.decode()) == is_there
    model.chat_template = ""
    model.save()
    assert link not in client_of(user).get(page).content.decode()


def test_the_page_is_read_only() -> None:
    client = client_of(make_user("ada", PERMISSION, is_staff=True))
    assert client.post(URL).status_code == 405
