"""The pages of batches: how far each is, what was wrong with one, and its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_POST, require_safe

from accounts.audit.log import note
from accounts.models import ApiKey, Batch, StoredFile
from inference.api.batches.rows import batch_cancel
from llm_manager.lib.unfold_types import ModelAdmin
from llm_manager.lib.written_rows import WrittenByServer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from llm_manager.lib.badges import Tone

_MAX_SHOWN = 100
_TONES: dict[str, Tone] = {
    Batch.Status.VALIDATING: "info",
    Batch.Status.IN_PROGRESS: "info",
    Batch.Status.FINALIZING: "info",
    Batch.Status.CANCELLING: "warning",
    Batch.Status.COMPLETED: "success",
    Batch.Status.FAILED: "danger",
    Batch.Status.EXPIRED: "warning",
    Batch.Status.CANCELLED: "",
}


@dataclass(frozen=True, slots=True)
class ShownBatch:
    """A batch as the pages show it."""

    batch: Batch
    owner: str

    @property
    def tone(self) -> Tone:
        """The colour of its state."""
        return _TONES[self.batch.status]

    @property
    def percent(self) -> int:
        """How many of its lines have a result, of a hundred."""
        total = self.batch.total
        return int(100 * self.batch.done / total) if total else 0


@admin.register(Batch)
class BatchAdmin(WrittenByServer, ModelAdmin[Batch]):
    """A page of the newest batches in place of the list of rows, and one of each."""

    def get_urls(self) -> list[URLPattern]:
        """Return the pages, their refreshed parts, and the button."""
        view = self.admin_site.admin_view
        return [
            path(
                "", require_safe(view(self.list_view)), name="accounts_batch_changelist"
            ),
            path(
                "status/",
                require_safe(view(self.list_status_view)),
                name="accounts_batch_list_status",
            ),
            path(
                "<str:pk>/",
                require_safe(view(self.page_view)),
                name="accounts_batch_change",
            ),
            path(
                "<str:pk>/status/",
                require_safe(view(self.status_view)),
                name="accounts_batch_status",
            ),
            path(
                "<str:pk>/cancel/",
                require_POST(view(self.cancel_view)),
                name="accounts_batch_cancel",
            ),
        ]

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may end batches."""
        return request.user.has_perm("accounts.cancel_batch")

    def list_view(self, request: HttpRequest) -> HttpResponse:
        """Return the page of all."""
        return self._page(request, "list.html", "Batches", self._all(request))

    def list_status_view(self, request: HttpRequest) -> HttpResponse:
        """Return its part that is refreshed."""
        return TemplateResponse(request, _template("rows.html"), self._all(request))

    def page_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Return the page of one."""
        return self._page(request, "page.html", "Batch", self._one(request, pk))

    def status_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Return its part that is refreshed."""
        context = self._one(request, pk)
        return TemplateResponse(request, _template("status.html"), context)

    def cancel_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Cancel a batch."""
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        row = Batch.objects.filter(pk=pk).first()
        if row is None:
            raise Http404
        if batch_cancel(row):
            note(row, "cancelled")
            said = "It is being cancelled; what was answered stays."
            self.message_user(request, said, messages.SUCCESS)
        else:
            self.message_user(request, "It has ended already.", messages.INFO)
        return HttpResponseRedirect(reverse("admin:accounts_batch_change", args=[pk]))

    def _page(
        self, request: HttpRequest, template: str, title: str, context: dict[str, Any]
    ) -> HttpResponse:
        whole = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            **context,
        }
        return TemplateResponse(request, _template(template), whole)

    def _all(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = list(Batch.objects.all()[: _MAX_SHOWN + 1])
        return {
            "lines": _shown(found[:_MAX_SHOWN]),
            "has_more": len(found) > _MAX_SHOWN,
        }

    def _one(self, request: HttpRequest, pk: str) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = Batch.objects.filter(pk=pk).first()
        if row is None:
            raise Http404
        ids = (row.input_file_id, row.output_id, row.error_id)
        return {
            "line": _shown([row])[0],
            "files": StoredFile.objects.filter(pk__in=ids).order_by("pk"),
            "key": ApiKey.objects.filter(pk=row.key_id).first(),
            "may_cancel": self.has_cancel_permission(request) and row.may_cancel,
        }


def _shown(rows: Iterable[Batch]) -> list[ShownBatch]:
    batches = list(rows)
    users = get_user_model().objects.in_bulk({each.owner_id for each in batches})
    return [
        ShownBatch(
            each,
            users[each.owner_id].get_username() if each.owner_id in users else "",
        )
        for each in batches
    ]


def _template(name: str) -> str:
    return f"admin/accounts/batch/{name}"
