"""The page of what runs and waits now, with the button that ends a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_safe
from redis.exceptions import RedisError

from accounts.audit.log import note_cancelled
from inference.models import RunningRequest
from inference.transport.messages.running import RunState
from inference.transport.running.now import cancel_running, running_now
from llm_manager.lib.unfold_types import ModelAdmin
from llm_manager.lib.written_rows import WrittenByServer

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from inference.transport.messages.running import CurrentRequest
    from inference.transport.running.now import Placed, RunningNow
    from llm_manager.lib.badges import Tone

#: Lines of the page; what waits longest is among them.
_MAX_SHOWN = 200
_TONES: dict[str, Tone] = {
    RunState.WAITS: "warning",
    RunState.PREFILLS: "info",
    RunState.DECODES: "success",
}
_FAILURES = (RedisError, OSError)
_NO_REDIS = "Redis cannot be reached, so nobody can say what runs."


@dataclass(frozen=True, slots=True)
class Line:
    """A request as the page shows it."""

    request: CurrentRequest
    place: int | None
    age_s: int
    #: Of the prompt, in percent; None of what does not prefill.
    prefill: int | None

    @property
    def tone(self) -> Tone:
        """The colour of its state."""
        return _TONES[self.request.state]

    @property
    def arrived_at(self) -> datetime:
        """When it came."""
        return datetime.fromtimestamp(self.request.arrived_at, UTC)

    @property
    def whose(self) -> str:
        """Its owner and team."""
        return " · ".join(filter(None, (self.request.owner, self.request.team)))


@admin.register(RunningRequest)
class RunningAdmin(WrittenByServer, ModelAdmin[RunningRequest]):
    """One page of all requests that run and wait, in place of a list of rows."""

    def get_urls(self) -> list[URLPattern]:
        """Return the page, its refreshed part, and that which asks before a cancel."""
        page = require_safe(self.admin_site.admin_view(self.page_view))
        status = require_safe(self.admin_site.admin_view(self.status_view))
        cancel = require_http_methods(["GET", "HEAD", "POST"])(
            self.admin_site.admin_view(self.cancel_view)
        )
        return [
            path("", page, name="inference_runningrequest_changelist"),
            path("status/", status, name="inference_runningrequest_status"),
            path("<str:id_>/cancel/", cancel, name="inference_runningrequest_cancel"),
        ]

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may end requests."""
        return request.user.has_perm("inference.cancel_runningrequest")

    def page_view(self, request: HttpRequest) -> HttpResponse:
        """Return the page."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Running",
            **self._context(request),
        }
        return TemplateResponse(request, "admin/inference/running.html", context)

    def status_view(self, request: HttpRequest) -> HttpResponse:
        """Return the part of the page that is refreshed."""
        return TemplateResponse(
            request, "admin/inference/running_status.html", self._context(request)
        )

    def cancel_view(self, request: HttpRequest, id_: str) -> HttpResponse:
        """Ask whether to end a request (GET), or end it (POST)."""
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        back = reverse("admin:inference_runningrequest_changelist")
        try:
            if request.method == "POST":
                self._cancel(request, id_)
                return HttpResponseRedirect(back)
            now = _now()
        except _FAILURES:
            self.message_user(request, _NO_REDIS, messages.ERROR)
            return HttpResponseRedirect(back)
        found = [each for each in now.requests if each.request.id == id_]
        if not found:
            self.message_user(request, "The request has ended already.", messages.INFO)
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": "Cancel",
            "opts": self.opts,
            "line": _line(found[0], now.at),
            "back": back,
        }
        return TemplateResponse(request, "admin/inference/running_cancel.html", context)

    def _cancel(self, request: HttpRequest, id_: str) -> None:
        by = request.user.get_username()
        if not async_to_sync(cancel_running)(id_, by=by):
            self.message_user(request, "The request has ended already.", messages.INFO)
            return
        note_cancelled(id_)
        text = "The request is cancelled; its client got an error that says so."
        self.message_user(request, text, messages.SUCCESS)

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            now = _now()
        except _FAILURES:
            return {"failure": _NO_REDIS}
        lines = [_line(each, now.at) for each in now.requests]
        return {
            "lines": lines[:_MAX_SHOWN],
            "more": now.more + max(len(lines) - _MAX_SHOWN, 0),
            "silent": now.silent,
            "counts": {
                state.value: sum(each.request.state == state for each in lines)
                for state in RunState
            },
            "may_cancel": self.has_cancel_permission(request),
        }


def _now() -> RunningNow:
    return async_to_sync(running_now)()


def _line(placed: Placed, now: float) -> Line:
    age = round(max(now - placed.request.arrived_at, 0.0))
    share = placed.prefill
    percent = None if share is None else int(share * 100)
    return Line(placed.request, placed.place, age, percent)
