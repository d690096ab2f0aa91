"""The admin of upstreams and of the models that they serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldBooleanSwitchWidget

from inference.admin.elsewhere.areas import small_area
from inference.upstreams.checking import check_now
from llm_manager.lib.badges import badge
from llm_manager.lib.unfold_types import ModelAdmin
from registry.admin import AliasInline
from registry.models import Api, Upstream, UpstreamModel
from registry.models.upstream import key_fault

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    UpstreamModelForm = forms.ModelForm[Upstream]
    ServedModelForm = forms.ModelForm[UpstreamModel]
else:
    UpstreamModelForm = ServedModelForm = forms.ModelForm

_COLOURS = {
    "healthy": "success",
    "failing": "danger",
    "paused": "danger",
    "disabled": "warning",
}


class UpstreamForm(UpstreamModelForm):
    """An upstream, and its key, which no page shows again."""

    key = forms.CharField(
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text="What it is sent as its key. It is encrypted and never shown. Empty: "
        "the one that it has stays.",
    )
    forget_key = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Send it no key from now on.",
    )

    class Meta:
        labels: ClassVar = {
            "connect_timeout_s": "To connect",
            "read_timeout_s": "Silence",
            "total_timeout_s": "Whole answer",
        }

    def clean_key(self) -> str:
        """Return the key. Raises ValidationError."""
        key: str = self.cleaned_data["key"]
        fault = key_fault(key)
        if fault:
            raise ValidationError(fault)
        return key

    def clean(self) -> None:
        """Give the upstream another key, if there is one: its own rules look at it."""
        super().clean()
        if self.cleaned_data.get("forget_key"):
            self.instance.key = ""
        elif key := self.cleaned_data.get("key"):
            self.instance.key = key


@admin.register(Upstream)
class UpstreamAdmin(ModelAdmin[Upstream]):
    """Other inference servers."""

    form = UpstreamForm
    list_display = ("name", "base_url", "dialect", "health", "fault", "checked_at")
    search_fields = ("name", "base_url")
    readonly_fields = ("health", "fault", "checked_at", "tries_again")
    actions = ("ask",)
    fieldsets = (
        (None, {"fields": ("name", "base_url", "dialect", "is_enabled")}),
        ("Key", {"fields": ("key", "forget_key")}),
        (
            "Time-outs",
            {"fields": ("connect_timeout_s", "read_timeout_s", "total_timeout_s")},
        ),
        ("State", {"fields": ("health", "fault", "checked_at", "tries_again")}),
    )

    @admin.display(description="state")
    def health(self, upstream: Upstream) -> SafeString:
        """Return what its last requests and its last check say."""
        return badge(upstream.state, _COLOURS.get(upstream.state, ""))

    @admin.display(description="circuit breaker")
    def tries_again(self, upstream: Upstream) -> str:
        """Return whether requests are sent to it, and when again."""
        until = upstream.pause
        if until is None:
            return "Closed: requests are sent to it."
        return (
            "Open: it has failed again and again. Requests are refused until "
            f"{date_format(timezone.localtime(until), 'DATETIME_FORMAT')}; then one "
            "tries."
        )

    @admin.action(description="Check the selected upstreams", permissions=["change"])
    def ask(self, request: HttpRequest, upstreams: QuerySet[Upstream]) -> None:
        """Ask each whether it answers, and say it."""
        for upstream in upstreams:
            fault = async_to_sync(check_now)(upstream)
            if fault:
                self.message_user(request, f"{upstream}: {fault}", messages.ERROR)
            else:
                self.message_user(request, f"{upstream} answers.", messages.SUCCESS)


class ServedForm(ServedModelForm):
    """A model of an upstream."""

    apis = forms.MultipleChoiceField(
        label="APIs",
        choices=[(api.value, f"/v1{api.label}") for api in Api],
        widget=forms.CheckboxSelectMultiple,
        help_text="What requests it takes.",
    )

    class Meta:
        labels: ClassVar = {"context_length": "Context"}
        widgets: ClassVar = {"refused_parameters": small_area()}


@admin.register(UpstreamModel)
class UpstreamModelAdmin(ModelAdmin[UpstreamModel]):
    """Models that upstreams serve."""

    form = ServedForm
    inlines = (AliasInline,)
    list_display = ("name", "upstream", "remote_name", "requests", "is_enabled")
    list_filter = ("upstream", "is_enabled")
    list_select_related = ("upstream",)
    search_fields = ("name", "remote_name", "aliases__name")
    fieldsets = (
        (
            None,
            {"fields": ("name", "is_enabled", "upstream", "remote_name", "apis")},
        ),
        ("What it takes", {"fields": ("context_length", "refused_parameters")}),
        ("Prices", {"fields": ("input_price", "cached_price", "output_price")}),
    )

    @admin.display(description="APIs")
    def requests(self, model: UpstreamModel) -> str:
        """Return what requests it takes."""
        return ", ".join(model.apis)
