"""Teams: groups of users whose API keys share models and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import Group
from django.db import models

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class TeamQuerySet(models.QuerySet["Team"]):
    def of_member(self, user: User) -> TeamQuerySet:
        """Return the teams that a user is in."""
        return self.filter(group__user=user)


class Team(models.Model):
    """A team. Its members are the users of its group; its name is the group's.

    A key of a team may use the models that both the key and the team allow.
    """

    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="team")
    all_models = models.BooleanField(
        "all models",
        default=False,
        help_text="Its keys may use every model, also those that are added later.",
    )
    allowed_models = models.ManyToManyField(
        "registry.Model",
        blank=True,
        related_name="teams",
        help_text="Models that its keys may use, if not all.",
    )
    is_from_claim = models.BooleanField(
        "members by sign-in",
        default=False,
        editable=False,
        help_text="Whether the sign-in provider says who is a member.",
    )
    notes = models.TextField(blank=True, max_length=2000)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ["group__name"]

    def __str__(self) -> str:
        return self.group.name

    def has_member(self, user: User) -> bool:
        """Return whether a user is in the team. One query."""
        return self.group.user_set.filter(pk=user.pk).exists()
