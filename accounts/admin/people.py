"""The admin of users, groups and teams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count, Q
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.admin.limits import TeamLimitInline, UserLimitInline
from accounts.forms import TeamForm
from accounts.models import Team
from accounts.people import team_update
from llm_manager.lib.readonly_fields import without_field
from llm_manager.lib.unfold_types import ModelAdmin

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin[User]):  # type: ignore[type-arg]
    """Django's user admin with unfold's forms."""

    inlines = (UserLimitInline,)

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_staff", "is_superuser", "last_login")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Return the groups of fields; who may not edit sees nothing of passwords."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return without_field(fieldsets, "password")


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin[Group]):
    """Django's group admin with unfold's look."""


@admin.register(Team)
class TeamAdmin(ModelAdmin[Team]):
    """Teams: groups of users whose keys share models and limits."""

    form = TeamForm
    list_display = ("group", "member_count", "key_count", "model_count", "created_at")
    fieldsets = (
        (None, {"fields": ("group", "members")}),
        ("Limits", {"fields": (("all_models", "allowed_models"),)}),
        ("Notes", {"fields": ("notes", "is_from_claim")}),
    )
    readonly_fields = ("members", "is_from_claim")
    search_fields = ("group__name",)
    search_help_text = "Name"
    autocomplete_fields = ("group",)
    inlines = (TeamLimitInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        """Return the teams with the number of their members."""
        teams = super().get_queryset(request).select_related("group")
        return teams.annotate(
            num_members=Count("group__user", distinct=True),
            num_keys=Count(
                "api_keys", filter=Q(api_keys__is_active=True), distinct=True
            ),
            num_models=Count("allowed_models", distinct=True),
        )

    def save_model(
        self, request: HttpRequest, obj: Team, form: Any, change: Any
    ) -> None:
        """Save a new team, or the changed columns of one that exists.

        Saving every column could undo a change that was made meanwhile.
        """
        if not change:
            super().save_model(request, obj, form, change)
            return
        columns = set(form.changed_data) - {"allowed_models"}
        team_update(team=obj, **{name: getattr(obj, name) for name in columns})

    @admin.display(description="members", ordering="num_members")
    def member_count(self, team: Team) -> int:
        """Return how many users are in the team."""
        return int(getattr(team, "num_members", 0))

    @admin.display(description="keys", ordering="num_keys")
    def key_count(self, team: Team) -> int:
        """Return how many keys of the team are active."""
        return int(getattr(team, "num_keys", 0))

    @admin.display(description="models", ordering="num_models")
    def model_count(self, team: Team) -> str:
        """Return how many models the team's keys may use."""
        return "all" if team.all_models else str(getattr(team, "num_models", 0))

    @admin.display(description="members")
    def members(self, team: Team) -> str:
        """Return who is in the team; users get their teams on their own pages."""
        if team.pk is None:
            return "The users of the group."
        names = team.group.user_set.order_by("username").values_list(
            "username", flat=True
        )
        return ", ".join(names) or "nobody"
