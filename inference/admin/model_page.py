"""The admin of what runs: the engine page, and the live side of the models."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe
from redis.exceptions import RedisError

from accounts.models import ApiKey
from inference import services
from inference.admin.fit import fit
from inference.admin.template_forms import ServedModelForm
from inference.admin.template_page import template_view
from inference.errors import InferenceError
from inference.models import EngineNode, Worker, WorkerState
from inference.status import (
    model_state,
    overview,
    with_nodes,
    worker_state,
    worker_views,
)
from llm_manager.lib.badges import badge
from llm_manager.lib.unfold_types import ModelAdmin
from registry.admin import RegistryModelAdmin
from registry.errors import RegistryError
from registry.models import GENERATIVE, Model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet
    from django.forms import BaseModelForm
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

logger = logging.getLogger(__name__)

#: What asking the engine may raise: refused, unreadable, or nobody there to ask.
_FAILURES = (InferenceError, RegistryError, RedisError, OSError)
_STATES_AT_ONCE = 200
_NAMES_AT_ONCE = 10


class Told(NamedTuple):
    """What an action did with one model: a sentence around the model's name."""

    level: int
    before: str
    model: str
    after: str = "."


def _largest_node(model: Model) -> EngineNode | None:
    """Return the largest machine, as far as the queryset has it."""
    limit = getattr(model, "memory_limit", None)
    if limit is None:
        return None
    return EngineNode(memory_limit=limit, hardware=getattr(model, "hardware", None))


class LiveStateFilter(admin.SimpleListFilter):
    """Models by the state of their workers."""

    title = "loaded"
    parameter_name = "loaded"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[Any, str]]:
        """Return the choices."""
        return [
            ("no", "Unloaded"),
            *((state.value, str(state.label)) for state in WorkerState),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Model]
    ) -> QuerySet[Model]:
        """Return the models that the choice leaves."""
        if self.value() == "no":
            return queryset.filter(workers=None)
        if self.value() in WorkerState.values:
            workers = Worker.objects.filter(state=self.value())
            return queryset.filter(pk__in=workers.values("model"))
        return queryset


class LiveModelAdmin(RegistryModelAdmin):
    """Models with their live state, and the actions that change it."""

    form = ServedModelForm
    list_display = (
        "identity",
        "live",
        "file",
        "size",
        "context",
        "capabilities",
        "memory",
    )
    list_filter = (LiveStateFilter, *RegistryModelAdmin.list_filter)
    actions = ("load_models", "unload_models")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """Return the models with workers, nodes and what the largest machine has."""
        largest = EngineNode.objects.alive().order_by("-memory_limit")
        return (
            super()
            .get_queryset(request)
            .annotate(
                memory_limit=Subquery(largest.values("memory_limit")[:1]),
                hardware=Subquery(largest.values("hardware")[:1]),
            )
            .prefetch_related(with_nodes(), "attachments__adapter")
        )

    @admin.display(description="state")
    def live(self, model: Model) -> str:
        """Return the live state, in an element that the page keeps fresh."""
        return render_to_string(
            "admin/inference/state.html",
            {"model": model, "state": model_state(model.workers.all())},
        )

    def context_now(self, model: Model) -> int:
        """Return the context of the model's workers, if it has any."""
        found = (w.n_ctx for w in model.workers.all() if w.state == WorkerState.READY)
        return next(filter(None, found), None) or super().context_now(model)

    @admin.display(description="memory")
    def memory(self, model: Model) -> SafeString | str:
        """Return whether the model fits into the largest machine, and how."""
        found = fit(model, _largest_node(model))
        detail = f"{found.detail} {found.context}".strip()
        return badge(found.verdict, found.tone, detail) if found.verdict else "-"

    def save_model(
        self, request: HttpRequest, obj: Model, form: BaseModelForm[Model], change: Any
    ) -> None:
        """Write the changed settings; as many workers as it is to have follow."""
        super().save_model(request, obj, form, change)
        if "replicas" in form.changed_data:
            services.replicas_adjust(model=obj)

    # Pages ------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Return the routes of the list and the page, and of what is live there."""
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
            path("states/", view(self.states_view), name="registry_model_states"),
            path("<int:pk>/live/", view(self.live_view), name="registry_model_live"),
            path(
                "<int:pk>/template/",
                view(self.template_view),
                name="registry_model_template",
            ),
            *super().get_urls(),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Return a model's page with its live panel."""
        context.update(self._panel(request, context["original"]))
        return super().render_change_form(request, context, *args, **kwargs)

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the live panel of a model's page alone."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        model = get_object_or_404(self.get_queryset(request), pk=pk)
        return TemplateResponse(
            request,
            "admin/registry/model/live.html",
            {"original": model, **self._panel(request, model)},
        )

    def template_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the preview of a model's chat template."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        models = Model.objects.filter(kind__in=GENERATIVE)
        return template_view(request, get_object_or_404(models, pk=pk), self)

    def states_view(self, request: HttpRequest) -> HttpResponse:
        """Return the live states of the models in ``id``, for the list."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        ids = [
            int(pk) for pk in request.GET.getlist("id") if pk.isascii() and pk.isdigit()
        ]
        models = Model.objects.filter(pk__in=ids[:_STATES_AT_ONCE])
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
        return {
            "state": model_state(workers),
            "workers": worker_views(workers),
            "fit": fit(model, _largest_node(model)),
            "may_load": self.has_change_permission(request, model),
        }

    # Actions ----------------------------------------------------------------

    def load_view(self, request: HttpRequest) -> HttpResponse:
        """Ask the engines to load the model in ``model``."""
        self._tell(request, [self._load(request, self._posted_model(request))])
        return self._back(request)

    def unload_view(self, request: HttpRequest) -> HttpResponse:
        """Ask the engines to unload the model in ``model``."""
        self._tell(request, [self._unload(request, self._posted_model(request))])
        return self._back(request)

    @admin.action(description="Load", permissions=["change"])
    def load_models(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Ask the engines to load the chosen models."""
        self._tell(request, [self._load(request, model) for model in queryset])

    @admin.action(description="Unload", permissions=["change"])
    def unload_models(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Ask the engines to unload the chosen models."""
        self._tell(request, [self._unload(request, model) for model in queryset])

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

    def _load(self, request: HttpRequest, model: Model) -> Told:
        if not Model.objects.servable().filter(pk=model.pk).exists():
            why = "disabled, without a file or no model that answers requests"
            return Told(messages.ERROR, f"Cannot be loaded, being {why}: ", model.name)
        try:
            worker = services.worker_request(model=model)
        except _FAILURES as error:
            logger.warning("loading %r failed: %s", model.name, error)
            return Told(messages.ERROR, "Could not load ", model.name, f": {error}")
        if worker_state(worker).name == "ready":
            return Told(messages.INFO, "Already loaded: ", model.name)
        self.log_change(request, model, "Asked the engine to load it.")
        if EngineNode.objects.alive().exists():
            return Told(messages.SUCCESS, "The engine was asked to load ", model.name)
        waits = "Will be loaded once an engine runs, and none does now: "
        return Told(messages.WARNING, waits, model.name)

    def _unload(self, request: HttpRequest, model: Model) -> Told:
        try:
            released = services.worker_release(model=model)
        except _FAILURES as error:
            logger.warning("unloading %r failed: %s", model.name, error)
            return Told(messages.ERROR, "Could not unload ", model.name, f": {error}")
        if not released:
            return Told(messages.INFO, "Not loaded: ", model.name)
        self.log_change(request, model, "Asked the engine to unload it.")
        return Told(messages.SUCCESS, "The engine was asked to unload ", model.name)

    def _tell(self, request: HttpRequest, told: list[Told]) -> None:
        """Show what came of an action, one message for all models of one fate."""
        fates: dict[tuple[int, str, str], list[str]] = {}
        for one in told:
            fates.setdefault((one.level, one.before, one.after), []).append(one.model)
        for (level, before, after), names in fates.items():
            shown = ", ".join(names[:_NAMES_AT_ONCE])
            if len(names) > _NAMES_AT_ONCE:
                shown += f" and {len(names) - _NAMES_AT_ONCE} more"
            self.message_user(request, f"{before}{shown}{after}", level)

    # Deletion ---------------------------------------------------------------

    def get_deleted_objects(
        self, objs: QuerySet[Model] | Iterable[Model], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Return what a deletion takes along, and what forbids it.

        A loaded model would run on with nothing to unload it by. A key that may
        use only deleted models would be left with an empty list, which means all.
        """
        chosen = list(objs)
        taken, counts, lacking, protected = super().get_deleted_objects(chosen, request)
        lacking.discard(str(Worker._meta.verbose_name))
        running = Worker.objects.filter(model__in=chosen).exclude(
            state=WorkerState.FAILED
        )
        protected += [
            f"{worker} is in use by the engine: unload it first."
            for worker in running.select_related("model")
        ]
        left = ApiKey.allowed_models.through.objects.filter(apikey=OuterRef("pk"))
        widened = ApiKey.objects.filter(
            Exists(left), ~Exists(left.exclude(model__in=chosen)), is_active=True
        )
        protected += [
            f"API key {key} may use nothing else, and a key without a model may use "
            "all of them: change or revoke it first."
            for key in widened
        ]
        return taken, counts, lacking, protected


admin.site.unregister(Model)
admin.site.register(Model, LiveModelAdmin)


@admin.register(Worker)
class EngineAdmin(ModelAdmin[Worker]):
    """One page in place of lists: machines and workers, as they are now."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: loading a model makes a worker."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Worker | None = None
    ) -> bool:
        """Return False: rows of workers are the engine's."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Worker | None = None
    ) -> bool:
        """Return False: unloading a model removes its worker."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """Return the engine page where the list would be, and its live part."""
        page = require_safe(self.admin_site.admin_view(self.engine_view))
        live = require_safe(self.admin_site.admin_view(self.live_view))
        return [
            path("", page, name="inference_worker_changelist"),
            path("live/", live, name="inference_worker_live"),
        ]

    def engine_view(self, request: HttpRequest) -> HttpResponse:
        """Return the engine page."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Engine",
            "loadable": Model.objects.servable().filter(workers=None),
            **self._context(request),
        }
        return TemplateResponse(request, "admin/inference/engine.html", context)

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """Return the part of the engine page that changes."""
        return TemplateResponse(
            request, "admin/inference/engine_live.html", self._context(request)
        )

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return {
            "engine": overview(),
            "may_load": request.user.has_perm("registry.change_model"),
        }
