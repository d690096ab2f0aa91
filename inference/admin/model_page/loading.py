"""Load, unload and reload, from a model's page and from the list."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from inference.admin.load_effect import load_effect
from inference.admin.model_actions import load, reload, unload
from inference.admin.model_page.posting import PostedModelAdmin, requester
from inference.load_preview import load_previews

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from registry.models import Model


def _is_now(request: HttpRequest) -> bool:
    return request.GET.get("when") == "now"


class LoadingAdmin(PostedModelAdmin):
    """Models that can be loaded and unloaded."""

    def get_urls(self) -> list[URLPattern]:
        """Return the routes of the buttons."""
        view = self.admin_site.admin_view
        return [
            path(
                "load/", require_POST(view(self.load_view)), name="registry_model_load"
            ),
            path(
                "unload/",
                require_POST(view(self.unload_view)),
                name="registry_model_unload",
            ),
            path(
                "reload/",
                require_POST(view(self.reload_view)),
                name="registry_model_reload",
            ),
            *super().get_urls(),
        ]

    def load_view(self, request: HttpRequest) -> HttpResponse:
        """Ask the engine to load the posted model; confirm first what would go."""
        model = self.posted_model(request)
        here = reverse("admin:registry_model_load")
        if question := self._load_question(request, [model], here):
            return question
        self.apply(request, load, [model])
        return self.back(request)

    def unload_view(self, request: HttpRequest) -> HttpResponse:
        """Ask the engine to unload the posted model, now if the address says so."""
        action = partial(unload, by=requester(request), is_now=_is_now(request))
        self.apply(request, action, [self.posted_model(request)])
        return self.back(request)

    def reload_view(self, request: HttpRequest) -> HttpResponse:
        """Ask the engine to reload the posted model, now if the address says so."""
        action = partial(reload, by=requester(request), is_now=_is_now(request))
        self.apply(request, action, [self.posted_model(request)])
        return self.back(request)

    @admin.action(description="Load", permissions=["change"])
    def load_models(
        self, request: HttpRequest, queryset: QuerySet[Model]
    ) -> HttpResponse | None:
        """Ask the engine to load the selected models; confirm first what would go."""
        here = reverse("admin:registry_model_changelist")
        if question := self._load_question(request, list(queryset), here):
            return question
        self.apply(request, load, queryset)
        return None

    @admin.action(description="Unload after running requests", permissions=["change"])
    def unload_models(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Ask the engine to unload the selected models."""
        self.apply(
            request, partial(unload, by=requester(request), is_now=False), queryset
        )

    @admin.action(description="Unload now", permissions=["change"])
    def unload_models_now(
        self, request: HttpRequest, queryset: QuerySet[Model]
    ) -> None:
        """Ask the engine to unload the selected models and end their requests."""
        self.apply(
            request, partial(unload, by=requester(request), is_now=True), queryset
        )

    def _load_question(
        self, request: HttpRequest, models: list[Model], action: str
    ) -> HttpResponse | None:
        """Return the page that says which models would be unloaded, if any would.

        None if that was confirmed already, on this page or beside the button.
        """
        if "confirmed" in request.POST or "confirmed" in request.GET:
            return None
        previews = load_previews(models)
        if not any(each.evicts or each.unloads for each in previews.values()):
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Load",
            "opts": self.opts,
            "loads": [
                (model, load_effect(previews[model.pk]) if model.pk in previews else "")
                for model in models
            ],
            "action": action,
            "back": self.back(request)["Location"],
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/registry/model/load.html", context)
