"""The admin of limits: inline on the pages of their holders, and a list of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string

from accounts.limits.use_now import key_uses, uses_of_limits
from accounts.models import ApiKey, Limit, LimitKind
from llm_manager.lib.readonly_fields import with_fields
from llm_manager.lib.unfold_types import ModelAdmin, TabularInline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.admin.views.main import ChangeList
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from accounts.limits.use_now import LimitUse

    LimitFormSet = forms.BaseInlineFormSet[Limit, Any, Any]
else:
    LimitFormSet = forms.BaseInlineFormSet


class HolderLimits(LimitFormSet):
    """The limits of one holder, each of another thing."""

    def get_queryset(self) -> QuerySet[Limit]:
        """Return the limits, each with what is used of it now, by one question."""
        is_first = not hasattr(self, "_queryset")
        limits = super().get_queryset()
        if is_first:
            _note_uses(limits)
        return limits

    def clean(self) -> None:
        """Check that none is there twice. Raises ValidationError."""
        super().clean()
        seen = set()
        for form in self.forms:
            data = getattr(form, "cleaned_data", {})
            if not data.get("kind") or data.get("DELETE"):
                continue
            what = data["kind"], data.get("model"), data.get("is_shared", True)
            if what in seen:
                raise ValidationError(
                    f"There are two limits of {LimitKind(data['kind']).label} for the "
                    "same."
                )
            seen.add(what)


#: What is shown in the place of a field that cannot be edited.
_SHOWN = {"amount": "amount_text"}


class LimitInline(TabularInline[Limit, Any]):
    """The limits of one holder, with what is used of them."""

    model = Limit
    formset = HolderLimits
    extra = 0
    hide_title = True
    readonly_fields = ("amount_text", "used_now")
    autocomplete_fields = ("model",)
    verbose_name_plural = "limits: all hold at once, and the narrowest refuses"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the columns; who may not edit sees the number as people write it."""
        fields = super().get_fields(request, obj)
        if self.has_change_permission(request, obj):
            return fields
        return [_SHOWN.get(str(name), name) for name in fields]

    @admin.display(description="amount")
    def amount_text(self, limit: Limit) -> str:
        """Return the number, with the currency of money."""
        return limit.amount_text

    @admin.display(description="used now")
    def used_now(self, limit: Limit) -> SafeString | str:
        """Return what is used of it now."""
        if limit.pk is None:
            return "-"
        return used_now(limit)


class KeyLimitInline(LimitInline):
    """The limits of a key."""

    fk_name = "key"
    fields = ("kind", "amount", "model", "used_now")

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """Return the empty rows: a new key has one."""
        return 0 if obj is not None else 1

    def formfield_for_choice_field(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Return the choice of a kind, which is none at first.

        A row that nobody touched is no limit; with a kind it would need its amount.
        """
        kwargs["choices"] = db_field.get_choices(include_blank=True)
        return super().formfield_for_choice_field(db_field, request, **kwargs)


class UserLimitInline(LimitInline):
    """The limits of a user's keys."""

    fk_name = "user"
    fields = ("kind", "amount", "model", "is_shared", "used_now")


class TeamLimitInline(LimitInline):
    """The limits of a team's keys."""

    fk_name = "team"
    fields = ("kind", "amount", "model", "is_shared", "used_now")


@admin.register(Limit)
class LimitAdmin(ModelAdmin[Limit]):
    """All limits, and the defaults, which have no holder."""

    list_display = ("kind", "amount_text", "holder", "model", "applies", "used_now")
    list_filter = ("kind", ("team", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("key", "user", "team__group", "model")
    list_per_page = 50
    search_fields = (
        *("key__name", "key__prefix", "user__username"),
        *("team__group__name", "model__name"),
    )
    search_help_text = "Key, user, team or model"
    autocomplete_fields = ("key", "user", "team", "model")
    fieldsets = (
        (
            None,
            {
                "description": "Without a key, a user or a team it is the default of "
                "every key.",
                "fields": (
                    ("kind", "amount"),
                    ("key", "user", "team"),
                    ("model", "is_shared"),
                ),
            },
        ),
    )

    readonly_fields = ("amount_text",)

    def get_fieldsets(self, request: HttpRequest, obj: Limit | None = None) -> Any:
        """Return the fields; who may not edit sees the number as people write it."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return with_fields(fieldsets, _SHOWN)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Limit]:
        """Return the limits with the names of their holders."""
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the list, each of its rows with what is used of it now."""
        changelist = super().get_changelist_instance(request)
        _note_uses(changelist.result_list)
        return changelist

    @admin.display(description="limit", ordering="amount")
    def amount_text(self, limit: Limit) -> str:
        """Return the number, with the currency of money."""
        return limit.amount_text

    @admin.display(description="holder")
    def holder(self, limit: Limit) -> str:
        """Return whose limit it is."""
        return str(limit.key or limit.team or limit.user or "every key")

    @admin.display(description="for")
    def applies(self, limit: Limit) -> str:
        """Return whether it is shared."""
        return "each key" if limit.is_for_each_key else "all together"

    @admin.display(description="used now")
    def used_now(self, limit: Limit) -> SafeString | str:
        """Return what is used of it now."""
        return used_now(limit)


def _note_uses(limits: Iterable[Any]) -> None:
    """Note with each limit what is used of it now, if Redis answers."""
    shared = [each for each in limits if not each.is_for_each_key]
    for limit, use in zip(shared, uses_of_limits(shared), strict=False):
        limit.use = use


def used_now(limit: Limit) -> SafeString | str:
    """Return a bar of what is used of a limit that is counted once."""
    if limit.is_for_each_key:
        return "by each key"
    use: LimitUse | None = getattr(limit, "use", None)
    uses = [use] if use else []
    return render_to_string("admin/accounts/limit/uses.html", {"uses": uses})


def limits_of_key(key: ApiKey) -> SafeString | str:
    """Return bars of all limits that hold for a key, whoever's they are."""
    context = {"uses": key_uses(key), "has_names": True}
    return render_to_string("admin/accounts/limit/uses.html", context)
