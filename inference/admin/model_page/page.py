"""The list of models and a model's page: the state of workers, memory and loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Subquery, Value
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path
from django.views.decorators.http import require_POST

from inference import services
from inference.admin import context_tests
from inference.admin.downloads.deletion_page import deletion_view
from inference.admin.load_effect import load_effect
from inference.admin.load_estimate import estimate_view
from inference.admin.memory_fit import fit
from inference.admin.model_actions import disable, outcome_messages
from inference.admin.model_page.context_testing import ContextTestingAdmin
from inference.admin.model_page.loading import LoadingAdmin
from inference.admin.model_page.measuring import MeasuringAdmin
from inference.admin.model_page.posting import requester
from inference.admin.model_panels.copies import copies_panel
from inference.admin.model_panels.loads import loads_panel
from inference.admin.model_panels.scaling import scaling_panel
from inference.admin.model_panels.speed import speed_panel
from inference.admin.nodes.drains import may_drain
from inference.admin.template_forms import ServedModelForm
from inference.admin.template_page import template_view
from inference.engine_messages import engines_scan
from inference.load_differences import reload_differences
from inference.load_preview import load_preview
from inference.models import EngineNode, Worker, WorkerState
from inference.status import model_state, with_nodes, worker_views
from llm_manager.lib.badges import badge
from registry.admin import RegistryModelAdmin
from registry.models import GENERATIVE, Model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet
    from django.forms import BaseModelForm
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

_MAX_STATES = 200


def _largest_node(model: Model) -> EngineNode | None:
    """Return the machine with the most memory, from the queryset's annotations."""
    limit = getattr(model, "memory_limit", None)
    if limit is None:
        return None
    return EngineNode(memory_limit=limit, hardware=getattr(model, "hardware", None))


class WorkerStateFilter(admin.SimpleListFilter):
    """Models by the state of their workers."""

    title = "state"
    parameter_name = "loaded"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[Any, str]]:
        """Return the states to choose from."""
        return [
            ("no", "Unloaded"),
            *((state.value, str(state.label)) for state in WorkerState),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Model]
    ) -> QuerySet[Model]:
        """Return the models with a worker in the chosen state."""
        if self.value() == "no":
            return queryset.filter(workers=None)
        if self.value() in WorkerState.values:
            workers = Worker.objects.filter(state=self.value())
            return queryset.filter(pk__in=workers.values("model"))
        return queryset


class ServedModelAdmin(LoadingAdmin, ContextTestingAdmin, MeasuringAdmin):
    """Models with the state of their workers, and the actions that change it."""

    form = ServedModelForm
    list_display = (
        "identity",
        "state_now",
        "file",
        "size",
        "context",
        "capabilities",
        "memory",
    )
    list_filter = (WorkerStateFilter, *RegistryModelAdmin.list_filter)
    actions = ("load_models", "unload_models", "unload_models_now", "test_contexts")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """Return the models with their workers and the largest machine's memory."""
        largest = EngineNode.objects.alive().order_by("-memory_limit")
        return (
            super()
            .get_queryset(request)
            .annotate(
                memory_limit=Subquery(largest.values("memory_limit")[:1]),
                hardware=Subquery(largest.values("hardware")[:1]),
                # What the list draws of a model knows no request.
                may_load=Value(self.has_change_permission(request)),
            )
            .select_related("projector")
            .prefetch_related(with_nodes(), "attachments__adapter", "context_tests")
        )

    @admin.display(description="state")
    def state_now(self, model: Model) -> str:
        """Return the state, in an element that the page refreshes."""
        return render_to_string(
            "admin/inference/state.html",
            {"model": model, "state": model_state(model.workers.all())},
        )

    def context_now(self, model: Model) -> int:
        """Return the context that the model is loaded with, or would be."""
        found = (w.n_ctx for w in model.workers.all() if w.state == WorkerState.READY)
        return next(filter(None, found), None) or super().context_now(model)

    @admin.display(description="memory")
    def memory(self, model: Model) -> SafeString | str:
        """Return whether the model fits into the largest machine, and how."""
        found = fit(model, _largest_node(model))
        detail = f"On an empty machine: {found.detail} {found.context}".strip()
        return badge(found.verdict, found.tone, detail) if found.verdict else "-"

    def save_model(
        self, request: HttpRequest, obj: Model, form: BaseModelForm[Model], change: Any
    ) -> None:
        """Save the settings; start or stop the workers that they concern at once."""
        super().save_model(request, obj, form, change)
        if "is_enabled" in form.changed_data and not obj.is_enabled:
            outcome = disable(obj, by=requester(request))
            for level, text in outcome_messages([outcome] if outcome else []):
                self.message_user(request, text, level)
        elif {"replicas", "replicas_max"} & set(form.changed_data):
            services.replicas_adjust(model=obj)

    def scan_view(self, request: HttpRequest) -> HttpResponse:
        """Scan the folders of this machine, and let nodes scan theirs."""
        response = super().scan_view(request)
        engines_scan()
        return response

    def get_urls(self) -> list[URLPattern]:
        """Return the routes of the page's parts, before those of its buttons."""
        view = self.admin_site.admin_view
        return [
            path("states/", view(self.states_view), name="registry_model_states"),
            path(
                "<int:pk>/status/",
                view(self.status_view),
                name="registry_model_status",
            ),
            path(
                "<int:pk>/delete-files/",
                view(self.delete_files_view),
                name="registry_model_delete_files",
            ),
            path(
                "<int:pk>/template/",
                view(self.template_view),
                name="registry_model_template",
            ),
            path(
                "<int:pk>/estimate/",
                require_POST(view(self.estimate_view)),
                name="registry_model_estimate",
            ),
            *super().get_urls(),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Return a model's page, with the panel of its workers."""
        context.update(self._panel(request, context["original"]))
        return super().render_change_form(request, context, *args, **kwargs)

    def status_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return only the panel of a model's workers."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        model = get_object_or_404(self.get_queryset(request), pk=pk)
        return TemplateResponse(
            request,
            "admin/registry/model/status.html",
            {"original": model, **self._panel(request, model)},
        )

    def template_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the preview of a model's chat template."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        models = Model.objects.filter(kind__in=GENERATIVE)
        return template_view(request, get_object_or_404(models, pk=pk), self)

    def delete_files_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Delete a model with its files, after a question that says what breaks."""
        return deletion_view(request, get_object_or_404(Model, pk=pk), self)

    def estimate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return what a model would take with the settings in its form."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        model = get_object_or_404(self.get_queryset(request), pk=pk)
        return estimate_view(request, model, _largest_node(model))

    def states_view(self, request: HttpRequest) -> HttpResponse:
        """Return the states of the models in ``id``, for the list."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        ids = [
            int(pk) for pk in request.GET.getlist("id") if pk.isascii() and pk.isdigit()
        ]
        may_load = Value(self.has_change_permission(request))
        models = Model.objects.filter(pk__in=ids[:_MAX_STATES])
        models = models.annotate(may_load=may_load)
        return TemplateResponse(
            request,
            "admin/inference/states.html",
            {
                "states": [
                    (model, model_state(model.workers.all()))
                    for model in models.prefetch_related(with_nodes())
                ]
            },
        )

    def _panel(self, request: HttpRequest, model: Model) -> dict[str, Any]:
        workers = list(model.workers.all())
        preview = load_preview(model)
        return {
            "state": model_state(workers),
            "workers": worker_views(workers),
            "fit": fit(model, _largest_node(model)),
            "effect": load_effect(preview) if preview else "",
            "differences": reload_differences(workers, model),
            "may_load": self.has_change_permission(request, model),
            **loads_panel(model, workers),
            **scaling_panel(model),
            **copies_panel(model),
            "may_pull": may_drain(request),
            **(context_tests.panel(model) if model.is_generative else {}),
            **(speed_panel(model) if model.is_generative else {}),
        }

    def get_deleted_objects(
        self, objs: QuerySet[Model] | Iterable[Model], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Return what a deletion also deletes, and what forbids it.

        A loaded model must be unloaded first: without its row nothing could do it.
        """
        chosen = list(objs)
        taken, counts, lacking, protected = super().get_deleted_objects(chosen, request)
        lacking.discard(str(Worker._meta.verbose_name))
        running = Worker.objects.filter(model__in=chosen).exclude(
            state=WorkerState.FAILED
        )
        protected += [
            f"{worker} is loaded: unload it first."
            for worker in running.select_related("model")
        ]
        return taken, counts, lacking, protected


admin.site.unregister(Model)
admin.site.register(Model, ServedModelAdmin)
