"""Changes of teams and users that touch several rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import Team

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from registry.models import Model


def check_joinable(teams: Iterable[Team], field: str = "teams") -> None:
    """Check that the members of these teams are chosen here. Raises ValidationError.

    ``field`` is the one at fault. Groups may carry permissions: who chooses members of
    teams only must not give those away.
    """
    for team in teams:
        if team.is_from_claim:
            raise ValidationError(
                {field: f"The sign-in provider says who is in the team '{team}'."}
            )
        if team.group.permissions.exists():
            raise ValidationError(
                {
                    field: f"The group of the team '{team}' has permissions: its "
                    "members are chosen in the admin."
                }
            )


@transaction.atomic
def team_create(
    *,
    name: str,
    models: Iterable[Model] | None,
    members: Iterable[User] = (),
    notes: str = "",
) -> Team:
    """Create a team and its group; ``models`` None is all. Raises ValidationError."""
    group = Group(name=name)
    try:
        group.full_clean()
    except ValidationError as error:
        raise ValidationError({"name": error.messages}) from None
    group.save()
    team = Team(group=group, all_models=models is None, notes=notes)
    team.full_clean()
    team.save()
    team.allowed_models.set(models or ())
    group.user_set.set(members)
    return team


@transaction.atomic
def team_update(
    *,
    team: Team,
    all_models: bool | None = None,
    models: Collection[Model] | None = None,
    members: Collection[User] | None = None,
    **fields: Any,
) -> None:
    """Change columns of a team, its models and its members, those that are given.

    ``models`` without ``all_models`` are all that it may use. Raises ValidationError.
    """
    if members is not None:
        check_joinable([team], "members")
    if all_models and models:
        raise ValidationError({"models": "Give these models or all models, not both."})
    if all_models:
        models = ()
    if all_models is not None or models is not None:
        fields["all_models"] = bool(all_models)
    for name, value in fields.items():
        setattr(team, name, value)
    team.full_clean()
    if fields:
        # The other columns may have been changed meanwhile.
        team.save(update_fields=list(fields))
    if models is not None:
        team.allowed_models.set(models)
    if members is not None:
        team.group.user_set.set(members)


@transaction.atomic
def team_delete(*, team: Team) -> None:
    """Delete a team and its group. Raises ValidationError if keys belong to it."""
    if team.api_keys.exists():
        raise ValidationError(
            f"Keys belong to the team '{team}'; delete them or give them another team."
        )
    group = team.group
    if group.permissions.exists():
        raise ValidationError(
            f"The group of the team '{team}' has permissions: delete it in the admin."
        )
    team.delete()
    group.delete()


@transaction.atomic
def user_create(
    *, username: str, email: str, password: str | None, teams: Sequence[Team]
) -> User:
    """Create a user without staff rights. Raises ValidationError.

    Without a password the user logs in at the provider only.
    """
    check_joinable(teams)
    user = User(username=username, email=email)
    if password is not None:
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise ValidationError({"password": error.messages}) from None
    user.set_password(password)
    user.full_clean()
    user.save()
    user.groups.add(*(team.group for team in teams))
    return user


@transaction.atomic
def user_update(*, user: User, teams: Sequence[Team] | None, **fields: Any) -> None:
    """Change a user; with ``teams``, leave all others. Raises ValidationError.

    Superusers are changed by people in the admin, never by a key, and so are the
    members of some teams.
    """
    if user.is_superuser:
        raise ValidationError(
            f"'{user}' is a superuser, who is changed in the admin only."
        )
    for name, value in fields.items():
        setattr(user, name, value)
    user.full_clean()
    if fields:
        user.save(update_fields=list(fields))
    if teams is None:
        return
    before = set(Team.objects.of_member(user).select_related("group"))
    left, joined = before.difference(teams), set(teams) - before
    check_joinable(left | joined)
    user.groups.remove(*(team.group for team in left))
    user.groups.add(*(team.group for team in joined))
