"""Teams and users that programs change: by the teams' own rules, and nothing beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError

from accounts.models import Invitation, Team
from accounts.people import team_update, user_create, user_update
from accounts.sign_in.invitations import invitation_accept, invitation_create
from tests.factories import make_model, make_team, make_user

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

POWERFUL = "has permissions: its members are chosen in the admin"
CLAIMED = "The sign-in provider says who is in the team"


def empower(team: Team) -> None:
    """Let the members of a team delete users."""
    team.group.permissions.add(Permission.objects.get(codename="delete_user"))


@pytest.fixture(params=[POWERFUL, CLAIMED])
def closed(request: pytest.FixtureRequest) -> tuple[Team, str]:
    """A team whose members are not chosen here, and why."""
    team = make_team("closed", is_from_claim=request.param == CLAIMED)
    if request.param == POWERFUL:
        empower(team)
    return team, request.param


def test_nobody_is_brought_into_a_team_whose_members_are_chosen_elsewhere(
    closed: tuple[Team, str],
) -> None:
    team, reason = closed
    anna = make_user("anna")
    with pytest.raises(ValidationError, match=reason):
        user_create(username="bob", email="", password=None, teams=[team])
    with pytest.raises(ValidationError, match=reason):
        user_update(user=anna, teams=[team])
    with pytest.raises(ValidationError, match=reason):
        team_update(team=team, members=[anna])
    with pytest.raises(ValidationError, match=reason):
        invitation_create(days=1, teams=[team])
    assert not team.group.user_set.exists()
    assert not User.objects.filter(username="bob").exists()
    assert not Invitation.objects.exists()


def test_nobody_is_taken_out_of_such_a_team_and_its_members_may_join_others(
    closed: tuple[Team, str],
) -> None:
    team, reason = closed
    anna, red = make_user("anna"), make_team("red")
    team.group.user_set.add(anna)
    user_update(user=anna, teams=[team, red])
    assert red.has_member(anna)
    with pytest.raises(ValidationError, match=reason):
        user_update(user=anna, teams=[red])
    assert team.has_member(anna)


def test_an_invitation_into_a_team_that_has_permissions_by_now_is_refused(
    client: Client,
) -> None:
    team = make_team("red")
    _, token = invitation_create(days=1, teams=[team])
    empower(team)
    with pytest.raises(ValidationError, match="cannot be accepted"):
        invitation_accept(token=token, user=make_user("bob"))
    form = {
        "username": "anna",
        "password1": "correct horse battery",
        "password2": "correct horse battery",
    }
    answer = client.post(f"/account/invite/{token}/", form)
    assert POWERFUL in answer.content.decode()
    assert not team.group.user_set.exists()
    assert not User.objects.filter(username="anna").exists()
    assert Invitation.objects.get().is_open


def test_the_admin_makes_no_invitation_into_a_team_that_has_permissions(
    admin_client: Client,
) -> None:
    team = make_team("red")
    empower(team)
    page = "/admin/accounts/invitation/add/"
    form = admin_client.get(page).context["adminform"].form
    body = {"teams": [team.pk], "days": 7, "form_id": form["form_id"].value()}
    assert POWERFUL in admin_client.post(page, body).content.decode()
    # It is not used up.
    body["teams"] = []
    assert "/account/invite/" in admin_client.post(page, body).content.decode()


def test_a_change_of_a_team_undoes_no_other_one() -> None:
    team = make_team("red", all_models=True)
    stale = Team.objects.get()
    team_update(team=team, models=[make_model("tiny")])
    team_update(team=stale, notes="new")
    team.refresh_from_db()
    assert (team.all_models, team.notes) == (False, "new")
    assert [model.name for model in team.allowed_models.all()] == ["tiny"]


def test_the_admin_saves_the_columns_of_a_team_that_were_changed(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = make_team("red", all_models=True, notes="old")
    saved: list[object] = []
    save = Team.save

    def noted(team: Team, **kwargs: object) -> None:
        saved.append(kwargs.get("update_fields"))
        save(team, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Team, "save", noted)
    page = f"/admin/accounts/team/{team.pk}/change/"
    formset = {
        f"limits-{name}": 0
        for name in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")
    }
    body = {"group": team.group_id, "all_models": "on", "notes": "new", **formset}
    assert admin_client.post(page, body).status_code == 302
    assert saved == [["notes"]]
    team.refresh_from_db()
    assert (team.notes, team.all_models) == ("new", True)


def test_a_change_of_a_team_is_made_whole_or_not_at_all() -> None:
    team = make_team("red")
    with pytest.raises(ValueError, match="unsaved"):
        team_update(team=team, notes="new", members=[User(username="unsaved")])
    team.refresh_from_db()
    assert team.notes == ""


def test_a_team_has_all_models_or_some() -> None:
    team = make_team("red", all_models=False)
    model = make_model("tiny")
    with pytest.raises(ValidationError, match="not both"):
        team_update(team=team, all_models=True, models=[model])
    team_update(team=team, models=[model])
    team_update(team=team, all_models=True)
    assert (team.all_models, team.allowed_models.count()) == (True, 0)
