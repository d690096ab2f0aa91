"""The teams of users as the sign-in provider has them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.contrib.auth.models import Group
from django.db import transaction

from accounts.models import Team

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)


@transaction.atomic
def teams_follow_claim(*, user: User, names: Collection[str]) -> None:
    """Make a user a member of the teams with these names, and of no other claimed one.

    A team that is missing is created; its keys may use no model until an administrator
    allows some. A group or a team that was made here by hand is left alone, whatever
    the provider says: groups carry permissions.
    """
    wanted = []
    for name in names:
        team = _claimed_team(name)
        if team is None:
            logger.warning(
                "The sign-in provider's group %r is not followed: a group of that name "
                "was made here.",
                name,
            )
        else:
            wanted.append(team)
    ours = Team.objects.of_member(user).filter(is_from_claim=True)
    gone = ours.exclude(pk__in=[team.pk for team in wanted])
    user.groups.remove(*(team.group for team in gone.select_related("group")))
    user.groups.add(*(team.group for team in wanted))


def _claimed_team(name: str) -> Team | None:
    """Return the team of the provider's group, or None if the name is taken."""
    # Two logins at once may both create it: the name is unique, so one finds the other.
    group, is_new = Group.objects.get_or_create(name=name)
    if is_new:
        return Team.objects.create(group=group, is_from_claim=True)
    return Team.objects.filter(group=group, is_from_claim=True).first()
