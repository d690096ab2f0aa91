"""Models in the admin, with their workers: state, memory, load and unload."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import Subquery, Value
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from inference import services
from inference.admin import context_tests
from inference.admin.context_tests import ContextTestForm
from inference.admin.downloads.deletion_page import deletion_view
from inference.admin.load_effect import load_effect
from inference.admin.load_estimate import estimate_view
from inference.admin.memory_fit import fit
from inference.admin.model_actions import (
    disable,
    load,
    outcome_messages,
    reload,
    unload,
)
from inference.admin.model_panels.loads import loads_panel
from inference.admin.model_panels.speed import (
    cancel_benchmark,
    request_benchmark,
    speed_panel,
)
from inference.admin.template_forms import ServedModelForm
from inference.admin.template_page import template_view
from inference.load_differences import reload_differences
from inference.load_preview import load_preview, load_previews
from inference.models import Benchmark, EngineNode, Worker, WorkerState
from inference.status import (
    model_state,
    with_nodes,
    worker_views,
)
from llm_manager.lib.badges import badge
from registry.admin import RegistryModelAdmin
from registry.models import GENERATIVE, SEQUENCES, ContextTest, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import QuerySet
    from django.forms import BaseModelForm
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

    from inference.admin.model_actions import ActionOutcome

_MAX_STATES = 200


def _largest_node(model: Model) -> EngineNode | None:
    """Return the machine with the most memory, from the queryset's annotations."""
    limit = getattr(model, "memory_limit", None)
    if limit is None:
        return None
    return EngineNode(memory_limit=limit, hardware=getattr(model, "hardware", None))


def _name(request: HttpRequest) -> str:
    """Return who asks, as requests that are ended are answered."""
    return f"the administrator {request.user.get_username()}"


def _user(request: HttpRequest) -> str:
    return request.user.get_username()


def _is_now(request: HttpRequest) -> bool:
    return request.GET.get("when") == "now"


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


class ServedModelAdmin(RegistryModelAdmin):
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
            outcome = disable(obj, by=_name(request))
            for level, text in outcome_messages([outcome] if outcome else []):
                self.message_user(request, text, level)
        elif "replicas" in form.changed_data:
            services.replicas_adjust(model=obj)

    # Pages ------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Return the routes of the list and the page, and of their refreshed parts."""
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
            path(
                "test-context/",
                require_POST(view(self.test_context_view)),
                name="registry_model_test_context",
            ),
            path(
                "cancel-test/",
                require_POST(view(self.cancel_test_view)),
                name="registry_model_cancel_test",
            ),
            path(
                "forget-test/",
                require_POST(view(self.forget_test_view)),
                name="registry_model_forget_test",
            ),
            path(
                "use-test/",
                require_POST(view(self.use_test_view)),
                name="registry_model_use_test",
            ),
            path(
                "measure/",
                require_POST(view(self.measure_view)),
                name="registry_model_measure",
            ),
            path(
                "cancel-measure/",
                require_POST(view(self.cancel_measure_view)),
                name="registry_model_cancel_measure",
            ),
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
            **(context_tests.panel(model) if model.is_generative else {}),
            **(speed_panel(model) if model.is_generative else {}),
        }

    # Actions ----------------------------------------------------------------

    def load_view(self, request: HttpRequest) -> HttpResponse:
        """Ask the engine to load the posted model; confirm first what would go."""
        model = self._posted_model(request)
        here = reverse("admin:registry_model_load")
        if question := self._load_question(request, [model], here):
            return question
        self._apply(request, load, [model])
        return self._back(request)

    def unload_view(self, request: HttpRequest) -> HttpResponse:
        """Ask the engine to unload the posted model, now if the address says so."""
        action = partial(unload, by=_name(request), is_now=_is_now(request))
        self._apply(request, action, [self._posted_model(request)])
        return self._back(request)

    def reload_view(self, request: HttpRequest) -> HttpResponse:
        """Ask the engine to reload the posted model, now if the address says so."""
        action = partial(reload, by=_name(request), is_now=_is_now(request))
        self._apply(request, action, [self._posted_model(request)])
        return self._back(request)

    @admin.action(description="Load", permissions=["change"])
    def load_models(
        self, request: HttpRequest, queryset: QuerySet[Model]
    ) -> HttpResponse | None:
        """Ask the engine to load the selected models; confirm first what would go."""
        here = reverse("admin:registry_model_changelist")
        if question := self._load_question(request, list(queryset), here):
            return question
        self._apply(request, load, queryset)
        return None

    @admin.action(description="Unload after running requests", permissions=["change"])
    def unload_models(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Ask the engine to unload the selected models."""
        self._apply(request, partial(unload, by=_name(request), is_now=False), queryset)

    @admin.action(description="Unload now", permissions=["change"])
    def unload_models_now(
        self, request: HttpRequest, queryset: QuerySet[Model]
    ) -> None:
        """Ask the engine to unload the selected models and end their requests."""
        self._apply(request, partial(unload, by=_name(request), is_now=True), queryset)

    # Speed ------------------------------------------------------------------

    def measure_view(self, request: HttpRequest) -> HttpResponse:
        """Ask the engine to measure the posted model."""
        model = self._posted_model(request)
        self._apply(request, partial(request_benchmark, by=_user(request)), [model])
        return self._back(request)

    def cancel_measure_view(self, request: HttpRequest) -> HttpResponse:
        """Cancel the posted benchmark."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        pk = request.POST.get("benchmark", "")
        if not (pk.isascii() and pk.isdigit()):
            raise Http404
        rows = Benchmark.objects.select_related("model")
        benchmark = get_object_or_404(rows, pk=int(pk))
        self._apply(
            request,
            lambda _model: cancel_benchmark(benchmark, by=_user(request)),
            [benchmark.model],
        )
        return self._back(request)

    # Context tests ----------------------------------------------------------

    def test_context_view(self, request: HttpRequest) -> HttpResponse:
        """Request tests of the posted model's context."""
        model = self._posted_model(request)
        form = ContextTestForm(request.POST)
        if not form.is_valid():
            errors = ", ".join(
                f"{name.replace('_', ' ')}: {' '.join(map(str, found))}"
                for name, found in form.errors.items()
            )
            self.message_user(request, f"Not tested: {errors}", messages.ERROR)
            return self._back(request)
        action = partial(context_tests.request_tests, by=_user(request))
        self._apply(request, partial(action, **form.cleaned_data), [model])
        return self._back(request)

    def cancel_test_view(self, request: HttpRequest) -> HttpResponse:
        """Cancel the posted test."""
        test = self._posted_test(request, request.POST.get("test", ""))
        self._apply(
            request,
            lambda _model: context_tests.cancel_test(test, by=_user(request)),
            [test.model],
        )
        return self._back(request)

    def forget_test_view(self, request: HttpRequest) -> HttpResponse:
        """Delete the posted test: a new one measures again."""
        test = self._posted_test(request, request.POST.get("test", ""))
        self._apply(
            request, lambda _model: context_tests.forget_test(test), [test.model]
        )
        return self._back(request)

    def use_test_view(self, request: HttpRequest) -> HttpResponse:
        """Give a model what a test recommends: posted as ``test-sequences``."""
        pk, _, number = request.POST.get("use", "").partition("-")
        test = self._posted_test(request, pk)
        if number not in map(str, SEQUENCES):
            raise Http404
        self._apply(
            request,
            lambda _model: context_tests.use_result(test, int(number)),
            [test.model],
        )
        return self._back(request)

    @admin.action(description="Test context", permissions=["change"])
    def test_contexts(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Request tests of the selected models, with the KV types in force."""
        action = partial(context_tests.request_tests, by=_user(request))
        self._apply(request, action, queryset)

    def _posted_test(self, request: HttpRequest, pk: str) -> ContextTest:
        if not self.has_change_permission(request):
            raise PermissionDenied
        if not (pk.isascii() and pk.isdigit()):
            raise Http404
        tests = ContextTest.objects.select_related("model")
        return get_object_or_404(tests, pk=int(pk))

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
            "back": self._back(request)["Location"],
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/registry/model/load.html", context)

    def _apply(
        self,
        request: HttpRequest,
        action: Callable[[Model], ActionOutcome],
        models: Iterable[Model],
    ) -> None:
        """Run the action on each model, log the changes and show the outcomes."""
        outcomes = []
        for model in models:
            outcome = action(model)
            outcomes.append(outcome)
            if outcome.log_entry:
                self.log_change(request, model, outcome.log_entry)
        for level, text in outcome_messages(outcomes):
            self.message_user(request, text, level)

    def _posted_model(self, request: HttpRequest) -> Model:
        if not self.has_change_permission(request):
            raise PermissionDenied
        pk = request.POST.get("model", "")
        if not (pk.isascii() and pk.isdigit()):
            raise Http404
        return get_object_or_404(self.get_queryset(request), pk=int(pk))

    def _back(self, request: HttpRequest) -> HttpResponse:
        target = request.POST.get("back", "")
        if not url_has_allowed_host_and_scheme(target, allowed_hosts=None):
            target = reverse("admin:registry_model_changelist")
        return HttpResponseRedirect(target)

    # Deletion ---------------------------------------------------------------

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
