"""/v1/admin/teams, /users and /invitations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.urls import reverse

from accounts.models import Team
from accounts.people import (
    team_create,
    team_delete,
    team_update,
    user_create,
    user_update,
)
from accounts.sign_in.invitations import invitation_create
from inference.api.administration import descriptions as about
from inference.api.administration.bodies import (
    InvitationRequest,
    ListQuery,
    NewTeamRequest,
    NewUserRequest,
    TeamChangeRequest,
    UserChangeRequest,
)
from inference.api.administration.keys import author, models_given
from inference.api.administration.objects import (
    invitation_object,
    team_object,
    user_object,
)
from inference.api.administration.rows import (
    models_of,
    team_named,
    teams_of,
    user_named,
    users_of,
)
from inference.api.administration.view import AdminView, answering, page, query_of
from inference.api.errors import BadRequest

if TYPE_CHECKING:
    from rest_framework.request import Request

# Teams ----------------------------------------------------------------------


def _list_teams(request: Request) -> Any:
    query = query_of(request, ListQuery)
    teams = Team.objects.select_related("group").order_by("group__name")
    teams = teams.prefetch_related("group__user_set", "allowed_models")
    if query.after:
        teams = teams.filter(group__name__gt=query.after)
    return page(query, teams, team_object)


def _create_team(request: Request) -> Any:
    body = NewTeamRequest.parse(request.data)
    chosen = models_of(body.models or ())
    if body.all_models and chosen:
        models_given(all_models=True, names=body.models)
    team = team_create(
        name=body.name,
        models=None if body.all_models else chosen,
        members=users_of(body.members or ()),
        notes=body.notes,
    )
    return team_object(team)


def _get_team(request: Request, name: str) -> Any:
    return team_object(team_named(name))


def _change_team(request: Request, name: str) -> Any:
    given = TeamChangeRequest.parse(request.data).given()
    team = team_named(name)
    for member, named in (("members", users_of), ("models", models_of)):
        if member in given:
            given[member] = named(given[member] or ())
    if "notes" in given:
        given["notes"] = given["notes"] or ""
    team_update(team=team, **given)
    return team_object(team_named(name))


def _delete_team(request: Request, name: str) -> Any:
    team_delete(team=team_named(name))
    return {"id": name, "deleted": True}


class TeamsView(AdminView):
    """The teams."""

    on = {"GET": _list_teams, "POST": _create_team}
    get = answering(about.list_teams)
    post = answering(about.create_team, status=201)


class TeamView(AdminView):
    """One team."""

    on = {"GET": _get_team, "PATCH": _change_team, "DELETE": _delete_team}
    get = answering(about.get_team)
    patch = answering(about.change_team)
    delete = answering(about.delete_team)


# Users ----------------------------------------------------------------------


def _list_users(request: Request) -> Any:
    query = query_of(request, ListQuery)
    users = User.objects.prefetch_related("groups__team").order_by("username")
    if query.after:
        users = users.filter(username__gt=query.after)
    return page(query, users, user_object)


def _create_user(request: Request) -> Any:
    body = NewUserRequest.parse(request.data)
    user = user_create(
        username=body.username,
        email=body.email,
        password=body.password,
        teams=teams_of(body.teams or ()),
    )
    return user_object(user)


def _get_user(request: Request, name: str) -> Any:
    return user_object(user_named(name))


def _change_user(request: Request, name: str) -> Any:
    given = UserChangeRequest.parse(request.data).given()
    teams = teams_of(given.pop("teams") or ()) if "teams" in given else None
    if given.get("is_active", True) is None:
        raise BadRequest("'is_active' cannot be null.", param="is_active")
    if "email" in given:
        given["email"] = given["email"] or ""
    user_update(user=user_named(name), teams=teams, **given)
    return user_object(user_named(name))


class UsersView(AdminView):
    """The users."""

    on = {"GET": _list_users, "POST": _create_user}
    get = answering(about.list_users)
    post = answering(about.create_user, status=201)


class UserView(AdminView):
    """One user."""

    on = {"GET": _get_user, "PATCH": _change_user}
    get = answering(about.get_user)
    patch = answering(about.change_user)


# Invitations ------------------------------------------------------------------


def _invite(request: Request) -> Any:
    body = InvitationRequest.parse(request.data)
    invitation, token = invitation_create(
        days=body.days,
        teams=teams_of(body.teams or ()),
        note=body.note,
        created_by=author(request),
    )
    path = reverse("account_invitation", args=[token])
    return invitation_object(invitation, request.build_absolute_uri(path))


class InvitationsView(AdminView):
    """Invitations."""

    on = {"POST": _invite}
    post = answering(about.invite, status=201)
