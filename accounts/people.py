"""Changes of teams and users that touch several rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import Team

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.models import Model


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

    Superusers are changed by people in the admin, never by a key.
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
    kept = {team.group_id for team in teams}
    left = user.groups.exclude(team=None).exclude(pk__in=kept)
    user.groups.remove(*left)
    user.groups.add(*(team.group for team in teams))
