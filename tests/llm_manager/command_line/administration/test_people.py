"""`llm-manager team` and `user`, at a server and on the database."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import User

from accounts.models import Invitation, Team
from tests.factories import make_api_key, make_model, make_team, make_user
from tests.llm_manager.command_line.administration.conftest import BOTH

if TYPE_CHECKING:
    from tests.llm_manager.command_line.administration.conftest import Verbs

pytestmark = pytest.mark.django_db


@BOTH
def test_a_team_lives_its_life(door: Verbs) -> None:
    for name in ("anna", "bob"):
        make_user(name)
    make_model("tiny")
    made = door.json("team", "create", "a/b", "--member", "anna", "--models", "tiny")
    assert (made["members"], made["models"]) == (["anna"], ["tiny"])
    changed = ("team", "members", "a/b", "--add", "bob", "--remove", "anna")
    assert door(*changed)[:2] == (0, "bob\n")
    assert Team.objects.get().group.user_set.get().username == "bob"
    assert door.json("team", "models", "a/b", "--all-models")["all_models"]
    _, line = door("team", "list")[1].splitlines()
    assert line.split() == ["a/b", "1", "all", "-"]
    # To look changes nothing.
    assert door.json("team", "models", "a/b")["all_models"]
    set_again = door.json("team", "models", "a/b", "--set", "tiny")
    assert (set_again["all_models"], set_again["models"]) == (False, ["tiny"])
    emptied = door.json("team", "models", "a/b", "--none")
    assert (emptied["all_models"], emptied["models"]) == (False, [])
    assert door("team", "delete", "a/b")[:2] == (0, "Deleted the team a/b.\n")
    assert not Team.objects.exists()


@BOTH
def test_a_user_lives_its_life(door: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
    make_team("red")
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    options = ["--email", "a@example.com", "--team", "red", "--password"]
    made = door.json("user", "create", "anna", *options)
    assert (made["teams"], made["is_staff"]) == (["red"], False)
    anna = User.objects.get(username="anna")
    assert anna.check_password("correct horse battery")
    assert door("user", "deactivate", "anna")[0] == 0
    assert not User.objects.get(username="anna").is_active
    listed = door("user", "list")[1].splitlines()
    (line,) = [line for line in listed if line.startswith("anna")]
    assert line.split() == ["anna", "a@example.com", "red", "-", "never", "inactive"]
    assert door.json("user", "activate", "anna")["is_active"]


@BOTH
def test_an_invitation_is_a_link_to_the_server(door: Verbs) -> None:
    make_team("red")
    status, link, said = door("user", "invite", "--team", "red", "--days", "1")
    assert status == 0
    assert link.startswith("http://")
    assert "/account/invite/" in link
    assert "It works once, until " in said
    assert str(Invitation.objects.get().teams.get()) == "red"


#: Words, the exit status, and what the sentence says.
REFUSED: list[tuple[list[str], int, str]] = [
    (["team", "members", "none"], 5, "There is no team 'none'"),
    (["team", "create", "red"], 1, "exists"),
    (["team", "members", "red", "--add", "nobody"], 1, "there is no user 'nobody'"),
    (["team", "members", "red", "--remove", "anna"], 2, "is not in the team"),
    (["team", "delete", "red"], 1, "Keys belong to"),
    (["team", "create", "x", "--models", "a", "--all-models"], 2, "not both"),
    (["team", "models", "red", "--set", "a", "--none"], 2, "Give one of"),
    (["user", "deactivate", "boss"], 1, "in the admin only"),
    (["user", "create", "x", "--password"], 2, "standard input has no password"),
    (["user", "invite", "--days", "1000"], 1, "days"),
]


@BOTH
def test_what_the_rules_refuse_is_a_sentence(
    door: Verbs, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    make_user("boss", is_superuser=True)
    bob = make_user("bob")
    make_api_key(bob, team=make_team("red", bob))
    for words, status, sentence in REFUSED:
        with subtests.test(words=words):
            found = door(*words)
            assert found[0] == status, found
            assert sentence in found[2]


def test_the_audit_log_says_by_which_door_a_change_came(server: Verbs) -> None:
    server.json("team", "create", "red")
    entry = LogEntry.objects.get(content_type__model="team")
    assert entry.additional_data["by"] == "robot"
    assert "key 'admin'" in entry.additional_data["via"]


def test_a_list_is_read_page_after_page(
    server: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = "llm_manager.command_line.administration.admin_api"
    monkeypatch.setattr(f"{folder}._PAGE", 2)
    for name in "abcde":
        make_team(name)
    listed = server.json("team", "list")
    assert [team["name"] for team in listed["data"]] == list("abcde")
    assert not listed["has_more"]
    assert server.requests[-1] == ("GET", "/v1/admin/teams?limit=2&after=d")
