"""Teams: groups of users whose API keys share models and limits."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import models


class Team(models.Model):
    """A team. Its members are the users of its group; its name is the group's."""

    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="team")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["group__name"]

    def __str__(self) -> str:
        return self.group.name
