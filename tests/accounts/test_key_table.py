"""Keys from tables in CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts import key_secrets as keys
from accounts.key_table import TableError, keys_create, secrets_table
from accounts.models import ApiKey
from llm_manager.lib.tables.spreadsheet import as_text
from tests.accounts.test_admin import SECRET
from tests.factories import make_model, make_team, make_user

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

PAGE = "/admin/accounts/apikey/import/"


def test_each_line_becomes_a_key_with_its_secret() -> None:
    anna, model = make_user("anna"), make_model("tiny")
    team = make_team("red", anna)
    table = (
        "name,owner,team,models,scopes,allowed_from,expires_at,weight,rate_limit,notes\n"
        'Search,anna,red,tiny,inference;models,10.0.0.0/8,2999-12-31,2,5,"a, b"\n'
        "Chat,anna,,*,,,,,,\n"
    )
    created = keys_create(table, by=anna)

    read = list(csv.DictReader(io.StringIO(secrets_table(created))))
    search, chat = (ApiKey.objects.get(prefix=row["prefix"]) for row in read)
    assert all(
        keys.matches(row["key"], key.key_hash)
        for row, key in zip(read, (search, chat), strict=True)
    )
    assert (search.name, search.team, search.scopes) == (
        "Search",
        team,
        ["inference", "models"],
    )
    assert list(search.allowed_models.all()) == [model]
    assert search.allowed_networks == ["10.0.0.0/8"]
    assert f"{search.expires_at:%Y-%m-%d %H:%M}" == "2999-12-31 23:59"
    assert (search.weight, search.rate_limit, search.notes) == (2, 5, "a, b")
    assert (chat.all_models, chat.team, chat.scopes) == (True, None, ["inference"])


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("", "first line must name"),
        ("name\nx", "first line must name"),
        ("name,owner,colour\nx,anna,red", "Unknown column: colour"),
        ("name,owner,models\n", "from 1 to 1000"),
        ("name,owner,models\nx,anna,*,y", "Line 2: it must have 3 fields"),
        ("name,owner,models\nx,anna", "Line 2: it must have 3 fields"),
        ("name,owner,models\nx,nobody,*", "Line 2: owner: there is no user 'nobody'"),
        ("name,owner,models\nx,anna,", "Line 2: models: name models"),
        ("name,owner,models\nx,anna,none", "Line 2: models: there is no model 'none'"),
        ("name,owner,models,team\nx,anna,*,red", "Line 2: team: there is no team"),
        ("name,owner,models,weight\nx,anna,*,heavy", "weight: 'heavy' is no number"),
        ("name,owner,models,allowed_from\nx,anna,*,home", "allowed_from: 'home' is no"),
        ("name,owner,models,expires_at\nx,anna,*,2001-01-01", "in the past"),
        (
            "name,owner,models,expires_at\nx,anna,*,soon",
            "'soon': write it as 2027-01-31",
        ),
        ("name,owner,models,scopes\nx,anna,*,root", "scopes: Choose from inference"),
        ("name,owner,models\n,anna,*", "name: This field cannot be blank"),
    ],
)
def test_a_table_with_a_fault_makes_no_key(table: str, complaint: str) -> None:
    make_user("anna")
    with pytest.raises(TableError, match=complaint.replace("(", r"\(")):
        keys_create(table, by=None)
    assert not ApiKey.objects.exists()


def test_one_bad_line_among_good_ones_makes_no_key() -> None:
    make_user("anna")
    with pytest.raises(TableError) as caught:
        keys_create("name,owner,models\na,anna,*\nb,bob,*\nc,carl,*\n", by=None)
    assert [fault[:7] for fault in caught.value.faults] == ["Line 3:", "Line 4:"]
    assert not ApiKey.objects.exists()


def test_a_cell_is_never_a_formula() -> None:
    assert as_text("=1+1") == "'=1+1"
    assert as_text("Search") == "Search"


def test_the_page_answers_with_the_secrets_once(admin_client: Client) -> None:
    make_user("anna")
    form = admin_client.get(PAGE).context["form"]
    body = {
        "text": "name,owner,models\nSearch,anna,*\nChat,anna,*\n",
        "form_id": form["form_id"].value(),
    }
    answer = admin_client.post(PAGE, body)
    assert answer["Content-Disposition"] == 'attachment; filename="api-keys.csv"'
    assert "no-store" in answer["Cache-Control"]
    assert len(SECRET.findall(answer.content.decode())) == 2

    again = admin_client.post(PAGE, body)
    assert "already submitted" in again.content.decode()
    assert ApiKey.objects.count() == 2


def test_the_page_names_the_lines_at_fault_and_can_be_sent_again(
    admin_client: Client,
) -> None:
    form = admin_client.get(PAGE).context["form"]
    body = {
        "text": "name,owner,models\nSearch,anna,*\n",
        "form_id": form["form_id"].value(),
    }
    answer = admin_client.post(PAGE, body)
    assert "Line 2: owner: there is no user" in answer.content.decode()
    make_user("anna")
    body["form_id"] = answer.context["form"]["form_id"].value()
    assert SECRET.search(admin_client.post(PAGE, body).content.decode())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"name,owner,models\nSea\x00rch,anna,*\n", "Null characters are not allowed"),
        (b"name,owner,models\nSe\xffrch,anna,*\n", "no text in UTF-8"),
        (b"name,owner,models\n" + b" " * 1_000_000, "more than 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    admin_client: Client, content: bytes, complaint: str
) -> None:
    make_user("anna")
    form = admin_client.get(PAGE).context["form"]
    file = SimpleUploadedFile("keys.csv", content)
    body = {"file": file, "form_id": form["form_id"].value()}
    assert complaint in admin_client.post(PAGE, body).content.decode()
    assert not ApiKey.objects.exists()


def test_who_may_not_add_keys_imports_none(client: Client) -> None:
    client.force_login(make_user("vera", "accounts.view_apikey", is_staff=True))
    assert client.get(PAGE).status_code == 403
