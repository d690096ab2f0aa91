"""The admin of users, groups and teams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import Team
from llm_manager.lib.unfold_types import ModelAdmin

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin[User]):  # type: ignore[type-arg]
    """Django's user admin with unfold's forms."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_staff", "is_superuser", "last_login")


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin[Group]):
    """Django's group admin with unfold's look."""


@admin.register(Team)
class TeamAdmin(ModelAdmin[Team]):
    """Teams: groups of users whose keys share models and limits."""

    list_display = ("group", "member_count", "created_at")
    search_fields = ("group__name",)
    search_help_text = "Name"
    autocomplete_fields = ("group",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        """Return the teams with the number of their members."""
        teams = super().get_queryset(request).select_related("group")
        return teams.annotate(num_members=Count("group__user"))

    @admin.display(description="members", ordering="num_members")
    def member_count(self, team: Team) -> int:
        """Return how many users are in the team."""
        return int(getattr(team, "num_members", 0))
