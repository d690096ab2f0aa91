"""`llm-manager limit` and `audit`, at a server and on the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accounts.models import Limit
from tests.factories import make_api_key, make_model, make_team, make_user
from tests.llm_manager.command_line.administration.conftest import BOTH

if TYPE_CHECKING:
    from tests.llm_manager.command_line.administration.conftest import Verbs

pytestmark = pytest.mark.django_db


@BOTH
def test_a_limit_lives_its_life(door: Verbs) -> None:
    make_team("red")
    make_model("tiny")
    options = ("--team", "red", "--model", "tiny", "--each-key")
    made = door.json("limit", "create", "tokens_day", "2000000", *options)
    assert (made["team"], made["model"], made["is_shared"]) == ("red", "tiny", False)
    number = str(made["id"])
    _, line = door("limit", "list")[1].splitlines()
    assert " ".join(line.split()) == (
        f"{number} team red, each key tokens_day 2,000,000 tiny"
    )
    changed = door.json("limit", "change", number, "--amount", "5", "--shared")
    assert (changed["amount"], changed["is_shared"]) == (5, True)
    said = door("limit", "delete", number)
    assert said[:2] == (0, f"Deleted the limit {number}.\n")
    assert not Limit.objects.exists()


@BOTH
def test_a_default_and_a_keys_budget_are_told_apart(door: Verbs) -> None:
    key, _ = make_api_key()
    door.json("limit", "create", "money_month", "12.5", "--prefix", key.prefix)
    door.json("limit", "create", "parallel", "4")
    lines = [" ".join(each.split()) for each in door("limit", "list")[1].splitlines()]
    assert lines[1].endswith(f"key {key.prefix} money_month 12.5 all")
    assert lines[2].endswith("every key parallel 4 all")


@BOTH
def test_what_a_limit_cannot_be_is_refused(door: Verbs) -> None:
    make_user("anna")
    make_team("red")
    both = ("--user", "anna", "--team", "red")
    assert door("limit", "create", "parallel", "1", *both)[0] == 2
    assert door("limit", "create", "parallel", "1.5")[0] != 0
    assert door("limit", "change", "1")[0] == 2
    assert door("limit", "delete", "999")[0] != 0
    assert not Limit.objects.exists()


@BOTH
def test_the_audit_log_is_read(door: Verbs) -> None:
    make_team("red")
    made = door.json("limit", "create", "tokens_day", "7", "--team", "red")
    door.json("limit", "change", str(made["id"]), "--amount", "9")
    head, *lines = door("audit", "--kind", "limit")[1].splitlines()
    assert head.split() == ["TIME", "BY", "EVENT", "KIND", "ROW", "CHANGES"]
    assert "amount: 7" in lines[0]
    assert "created" in lines[1]
    (entry,) = door.json("audit", "--limit", "1")["data"]
    assert entry["changes"]["amount"][1].startswith("9")
    assert door.json("audit", "--object", "nothing like it")["data"] == []
