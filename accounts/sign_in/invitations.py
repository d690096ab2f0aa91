"""Making and accepting invitations."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import Invitation
from accounts.people import check_joinable
from accounts.sign_in.view_rights import give_view_rights

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.contrib.auth.models import User

    from accounts.models import Team

MAX_DAYS = 90
_GONE = "This invitation was used, has expired or was withdrawn. Ask for a new one."
_NO_SUPERUSER = "Only superusers may let people into the admin."
_REFUSED = "This invitation cannot be accepted. Ask for a new one."


@transaction.atomic
def invitation_create(
    *,
    days: int,
    teams: Collection[Team] = (),
    note: str = "",
    views_admin: bool = False,
    created_by: User | None = None,
) -> tuple[Invitation, str]:
    """Create an invitation; return it and its secret, which is not stored.

    Raises ValidationError.
    """
    if not 1 <= days <= MAX_DAYS:
        raise ValidationError({"days": f"Enter from 1 to {MAX_DAYS} days."})
    check_joinable(teams)
    if views_admin and not may_give_view_rights(created_by):
        raise ValidationError({"views_admin": _NO_SUPERUSER})
    token = secrets.token_urlsafe(32)
    invitation = Invitation(
        token_hash=_digest(token),
        note=note,
        views_admin=views_admin,
        created_by=created_by,
        expires_at=timezone.now() + timedelta(days=days),
    )
    invitation.full_clean()
    invitation.save()
    invitation.teams.set(teams)
    return invitation, token


def invitation_find(token: str) -> Invitation:
    """Return the open invitation with this secret. Raises ValidationError."""
    found = Invitation.objects.open().filter(token_hash=_digest(token)).first()
    if found is None:
        raise ValidationError(_GONE)
    return found


@transaction.atomic
def invitation_accept(*, token: str, user: User) -> Invitation:
    """Give a user what an invitation is for, and use it up. Raises ValidationError.

    Two who come at once wait for each other at the row, and the second one is refused.
    """
    rows = Invitation.objects.open().select_for_update(no_key=True)
    invitation = rows.filter(token_hash=_digest(token)).first()
    if invitation is None:
        raise ValidationError(_GONE)
    teams = invitation.teams.select_related("group")
    try:
        # A team's group may have been given permissions meanwhile.
        check_joinable(teams)
    except ValidationError as error:
        raise ValidationError(f"{_REFUSED} {error.messages[0]}") from None
    if invitation.views_admin and not may_give_view_rights(invitation.created_by):
        raise ValidationError(f"{_REFUSED} {_NO_SUPERUSER}")
    invitation.used_at = timezone.now()
    invitation.used_by = user
    invitation.save(update_fields=["used_at", "used_by"])
    user.groups.add(*(team.group for team in teams))
    if invitation.views_admin:
        give_view_rights(user)
    return invitation


def may_give_view_rights(user: User | None) -> bool:
    """Return whether a user may let others into the admin."""
    return user is not None and user.is_active and user.is_superuser


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
