"""The admin's first page; it shows only what the user may view."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db.models import Count, Q
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import ApiKey
from inference.health.facts import health_facts
from inference.status import overview
from llm_manager.dashboard import attention
from llm_manager.dashboard.charts import charts_section
from llm_manager.launcher.banner import OPEN_DOOR
from registry.models import FileState, Model, ScanRun
from registry.services import configured_roots, folders_look

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import User
    from django.http import HttpRequest, HttpResponse

    from inference.admin.attention import Attention

_RECENT = 8


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the dashboard's numbers to a template context and return it."""
    user = cast("User", request.user)
    context["title"] = "Dashboard"
    context["base_url"] = request.build_absolute_uri("/v1")
    if not settings.AUTH_REQUIRED:
        context["open_door"] = OPEN_DOOR
    context |= _now(user)
    if _may_view(user, "accounts.usagerecord"):
        context["usage"] = charts_section(request.GET)
    if "models" in context:
        context["has_models"] = context["models"]["found"] > 0
        if not (context["has_models"] and context.get("has_keys", True)):
            context["models_folders"] = configured_roots()
    log = LogEntry.objects.select_related("user", "content_type")
    if not user.is_superuser:
        log = log.filter(user_id=user.pk)
    context["recent_actions"] = log[:_RECENT]
    return context


@require_safe
def live_view(request: HttpRequest) -> HttpResponse:
    """Return the parts of the page that are refreshed, without charts and frame."""
    context = _now(cast("User", request.user))
    return TemplateResponse(request, "admin/dashboard.html", context)


def _may_view(user: User, name: str) -> bool:
    app, model = name.split(".")
    return user.has_perm(f"{app}.view_{model}") or user.has_perm(
        f"{app}.change_{model}"
    )


def _now(user: User) -> dict[str, Any]:
    """Return what is now, of what this user may view."""
    context: dict[str, Any] = {}
    may_view = partial(_may_view, user)
    if may_view("registry.model"):
        folders_look()
        context["models"] = Model.objects.files().aggregate(
            found=Count("pk", filter=Q(state=FileState.FOUND)),
            without_file=Count("pk", filter=~Q(state=FileState.FOUND)),
            enabled=Count("pk", filter=Q(state=FileState.FOUND, is_enabled=True)),
        )
        context["may_scan"] = user.has_perm("registry.change_model")
    if may_view("registry.scanrun"):
        context["last_scan"] = ScanRun.objects.first()
    if may_view("inference.worker"):
        context["engine"] = overview()
    if may_view("accounts.apikey"):
        soon = timezone.now() + timedelta(days=7)
        context |= ApiKey.objects.usable().aggregate(
            num_keys=Count("pk"),
            num_expiring=Count("pk", filter=Q(expires_at__lte=soon)),
        )
        context["may_add_key"] = user.has_perm("accounts.add_apikey")
        context["has_keys"] = context["num_keys"] > 0
    return context | _needs(user, may_view, context)


def _needs(
    user: User, may_view: Callable[[str], bool], context: dict[str, Any]
) -> dict[str, Any]:
    """Return what needs this user, and the queues that no worker has looked into."""
    found: dict[str, Any] = {}
    items: list[Attention] = []
    if may_view("inference.enginenode"):
        facts = health_facts(context.get("engine"))
        items += attention.what_is_wrong(facts, user)
        loaded = {view.worker.model.name for view in facts.overview.workers}
        found["queues"] = {
            name: number
            for name, number in facts.redis.queues.items()
            if number and name not in loaded
        }
    elif "engine" in context:
        items += attention.failed_models(context["engine"], user)
    items += attention.unreadable_files(context.get("last_scan"), user)
    if may_view("accounts.limit"):
        items += attention.budgets(user)
    if may_view("accounts.notice"):
        items += attention.unread_notices(user)
    if context.get("num_expiring"):
        items += attention.expiring_keys(user)
    if may_view("inference.worker"):
        items += attention.recent_evictions(user)
    found["needs"] = attention.by_urgency(items)
    return found
