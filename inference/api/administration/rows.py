"""The rows that a request to /v1/admin names."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.contrib.auth.models import User
from django.db.models import Model as Row

from accounts.expiry import expiry_parse
from accounts.models import ApiKey, Team
from inference.api.administration.objects import KEY_ROWS
from inference.api.errors import BadRequest, RowNotFound
from llm_manager.lib.quoting import quote
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.db.models import QuerySet

_T = TypeVar("_T")
_M = TypeVar("_M", bound=Row)


def row_named(rows: QuerySet[_M], kind: str, **named: str) -> _M:
    """Return the row whose field has this text. Raises RowNotFound."""
    ((field, text),) = named.items()
    row = rows.filter(**{field: _text(text)}).first()
    if row is None:
        raise RowNotFound(kind, text)
    return row


def key_named(prefix: str) -> ApiKey:
    """Return the key with a prefix. Raises RowNotFound."""
    rows = ApiKey.objects.select_related(*KEY_ROWS)
    return row_named(rows, "key", prefix=prefix)


def team_named(name: str) -> Team:
    """Return the team with a name. Raises RowNotFound."""
    teams = Team.objects.select_related("group")
    return row_named(teams, "team", group__name=name)


def user_named(name: str) -> User:
    """Return the user with a name. Raises RowNotFound."""
    return row_named(User.objects.all(), "user", username=name)


def owner_of(name: str) -> User:
    """Return the active user that a member names. Raises BadRequest."""
    user = User.objects.filter(username=_text(name), is_active=True).first()
    if user is None:
        raise _unknown("owner", "active user", name)
    return user


def users_of(names: Sequence[str], member: str = "members") -> list[User]:
    """Return the users that a member names. Raises BadRequest."""
    texts = [_text(name) for name in names]
    found = {user.username: user for user in User.objects.filter(username__in=texts)}
    return [_known(found, member, "user", name) for name in names]


def key_of(prefix: str, member: str = "key") -> ApiKey:
    """Return the key that a member names. Raises BadRequest."""
    key = ApiKey.objects.filter(prefix=_text(prefix)).first()
    if key is None:
        raise _unknown(member, "key", prefix)
    return key


def team_of(name: str | None) -> Team | None:
    """Return the team that the member ``team`` names, if any. Raises BadRequest."""
    return None if name is None else teams_of([name], "team")[0]


def teams_of(names: Sequence[str], member: str = "teams") -> list[Team]:
    """Return the teams that a member names. Raises BadRequest."""
    texts = [_text(name) for name in names]
    rows = Team.objects.select_related("group").filter(group__name__in=texts)
    found = {str(team): team for team in rows}
    return [_known(found, member, "team", name) for name in names]


def models_of(names: Sequence[str], member: str = "models") -> list[Model]:
    """Return the models that a member names. Raises BadRequest."""
    texts = [_text(name) for name in names]
    found = {model.name: model for model in Model.objects.filter(name__in=texts)}
    return [_known(found, member, "model", name) for name in names]


def moment_of(text: str | None) -> datetime | None:
    """Return the time of the member ``expires_at``. Raises BadRequest."""
    if text is None:
        return None
    try:
        return expiry_parse(text)
    except ValueError as error:
        raise BadRequest(
            f"Invalid value for 'expires_at': {error}", param="expires_at"
        ) from None


def _known(found: dict[str, _T], member: str, kind: str, name: str) -> _T:
    if name not in found:
        raise _unknown(member, kind, name)
    return found[name]


def _unknown(member: str, kind: str, name: str) -> BadRequest:
    return BadRequest(
        f"Invalid value for '{member}': there is no {kind} '{quote(name)}'.",
        param=member,
    )


def _text(name: str) -> str:
    # PostgreSQL refuses a text with a NUL, and no name has one.
    return name.replace("\x00", "\ufffd")
