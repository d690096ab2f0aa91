"""The admin of routes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.timesince import timesince

from inference.admin.elsewhere.areas import small_area
from inference.admin.elsewhere.route_answers import MOST, TargetAnswers, answers_of
from llm_manager.lib.unfold_types import ModelAdmin, TabularInline
from registry.admin import AliasInline
from registry.models import Route, RouteTarget

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    RouteModelForm = forms.ModelForm[Route]
else:
    RouteModelForm = forms.ModelForm


class TargetInline(TabularInline[RouteTarget, Route]):
    """The models of a route."""

    model = RouteTarget
    fk_name = "route"
    extra = 1
    hide_title = True
    verbose_name = "target"
    verbose_name_plural = "targets: each gets its weight's share of the requests"


class RouteForm(RouteModelForm):
    """A route."""

    class Meta:
        widgets: ClassVar = {
            "default_parameters": small_area(),
            "forced_parameters": small_area(),
        }


@admin.register(Route)
class RouteAdmin(ModelAdmin[Route]):
    """Names that stand for one of several models."""

    form = RouteForm
    inlines = (TargetInline, AliasInline)
    list_display = ("name", "shares", "falls_back", "is_enabled", "try_it")
    search_fields = ("name", "aliases__name")
    fieldsets = (
        (None, {"fields": ("name", "is_enabled", "falls_back")}),
        (
            "Parameters",
            {"fields": ("default_parameters", "forced_parameters")},
        ),
        ("Who has answered", {"fields": ("answered",)}),
    )
    readonly_fields = ("answered",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """Return the routes with their targets."""
        return super().get_queryset(request).prefetch_related("targets__model")

    @admin.display(description="targets")
    def shares(self, route: Route) -> str:
        """Return the targets with their shares."""
        targets = list(route.targets.all())
        total = sum(target.weight for target in targets)
        return (
            ", ".join(
                f"{target.model.name} {target.weight / total:.0%}"
                if target.weight
                else f"{target.model.name} as fallback"
                for target in targets
            )
            or "none"
        )

    @admin.display(description="lately")
    def answered(self, route: Route) -> SafeString | str:
        """Return what each target has answered; who answered last comes first."""
        answers = answers_of(route) if route.pk else []
        if not any(each.last_at for each in answers):
            return "Nobody: none of its targets' newest requests came by this route."
        lines = ((each.name, _said(each)) for each in answers)
        return format_html_join(mark_safe("<br>"), "<strong>{}</strong> {}", lines)

    @admin.display(description="playground")
    def try_it(self, route: Route) -> SafeString:
        """Return a link to the playground."""
        page = f"{reverse('playground')}?{urlencode({'model': route.name})}"
        return format_html('<a class="lm-link" href="{}">Try it</a>', page)


def _said(answers: TargetAnswers) -> str:
    """Return in words what a target has answered."""
    if answers.last_at is None:
        return f"none of its newest {MOST:,} requests"
    past = timezone.now() - answers.last_at
    ago = (
        "less than a minute"
        if past < timedelta(minutes=1)
        else timesince(answers.last_at, depth=1)
    )
    instead = f", {answers.fallbacks:,} as fallback" if answers.fallbacks else ""
    return (
        f"last {ago} ago with status {answers.last_status}; {answers.requests:,} of "
        f"its newest {MOST:,} requests{instead}"
    )
