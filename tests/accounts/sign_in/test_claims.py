"""Groups in a provider's answer, and the teams that follow them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group

from accounts.models import Team
from accounts.sign_in.claimed_teams import teams_follow_claim
from accounts.sign_in.claims import groups_in
from tests.factories import make_team, make_user


@pytest.mark.parametrize(
    ("claims", "groups"),
    [
        ({"id_token": {"groups": ["b", "a", "b"]}}, ["a", "b"]),
        ({"userinfo": {"groups": ["a"]}, "id_token": {}}, ["a"]),
        ({"id_token": {"groups": "a"}}, ["a"]),
        ({"id_token": {"groups": []}}, []),
        ({"userinfo": {}}, None),
        ({}, None),
    ],
)
def test_the_groups_of_a_claim_are_names(claims: Any, groups: Any) -> None:
    assert groups_in(claims, "groups") == groups


@pytest.mark.parametrize(
    "groups", [[1], [""], {"a": 1}, ["x" * 151], [f"g{n}" for n in range(501)]]
)
def test_a_claim_that_is_no_list_of_names_is_refused(groups: Any) -> None:
    with pytest.raises(ValueError, match="'groups'"):
        groups_in({"id_token": {"groups": groups}}, "groups")


@pytest.mark.django_db
def test_a_user_joins_and_leaves_teams_as_the_provider_says() -> None:
    anna, bob = make_user("anna"), make_user("bob")
    teams_follow_claim(user=anna, names=["red", "blue"])
    teams_follow_claim(user=bob, names=["red"])
    teams_follow_claim(user=anna, names=["blue"])

    red, blue = (Team.objects.get(group__name=name) for name in ("red", "blue"))
    assert not red.has_member(anna)
    assert red.has_member(bob)
    assert blue.has_member(anna)


@pytest.mark.django_db
def test_a_team_of_the_provider_may_use_no_model_at_first() -> None:
    teams_follow_claim(user=make_user(), names=["red"])
    team = Team.objects.get()
    assert (team.all_models, team.allowed_models.count()) == (False, 0)


@pytest.mark.django_db
def test_the_provider_gives_nobody_a_group_that_was_made_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    anna = make_user("anna")
    Group.objects.create(name="Administrators")
    by_hand = make_team("by hand")
    other = make_team("other", anna)

    teams_follow_claim(user=anna, names=["Administrators", "by hand"])

    # Nor does it take her out of one.
    assert [group.name for group in anna.groups.all()] == [str(other)]
    assert not by_hand.has_member(anna)
    assert "'Administrators' is not followed" in caplog.text
