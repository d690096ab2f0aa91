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

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.contrib.auth.models import User

    from accounts.models import Team

MAX_DAYS = 90
_GONE = "This invitation was used, has expired or was withdrawn. Ask for a new one."

_REFUSED = "This invitation cannot be accepted. Ask for a new one."


@transaction.atomic
def invitation_create(
    *,
    days: int,
    teams: Collection[Team] = (),
    note: str = "",
    created_by: User | None = None,
) -> tuple[Invitation, str]:
    """Create an invitation; return it and its secret, which is not stored.

    Raises ValidationError.
    """
    if not 1 <= days <= MAX_DAYS:
        raise ValidationError({"days": f"Enter from 1 to {MAX_DAYS} days."})
    check_joinable(teams)
    token = secrets.token_urlsafe(32)
    invitation = Invitation(
        token_hash=_digest(token),
        note=note,
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
    """Bring a user into an invitation's teams, and use it up. Raises ValidationError.

    Two who come at once wait for each other at the row, and the second one is refused.
    """
    rows = Invitation.objects.open().select_for_update()
    invitation = rows.filter(token_hash=_digest(token)).first()
    if invitation is None:
        raise ValidationError(_GONE)
    teams = invitation.teams.select_related("group")
    try:
        # A team's group may have been given permissions meanwhile.
        check_joinable(teams)
    except ValidationError as error:
        raise ValidationError(f"{_REFUSED} {error.messages[0]}") from None
    invitation.used_at = timezone.now()
    invitation.used_by = user
    invitation.save(update_fields=["used_at", "used_by"])
    user.groups.add(*(team.group for team in teams))
    return invitation


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
