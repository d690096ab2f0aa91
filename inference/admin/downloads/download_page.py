"""The page of downloads: get a model, see how far it is, cancel, try again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_POST, require_safe

from inference.download_fit import fitting, largest_limits
from inference.engine_messages import engine_wake
from inference.models import EngineNode
from llm_manager.lib.unfold_types import ModelAdmin
from registry.downloads.requesting import (
    download_cancel,
    download_request,
    download_retry,
    offer_of,
    source_of,
)
from registry.hub.errors import DownloadFailed
from registry.hub.source import HubSource
from registry.models import Download, Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from inference.download_fit import Fitting
    from llm_manager.lib.badges import Tone
    from registry.hub.offer import ModelChoice, Offer

_MAX_SHOWN = 50
_PAGE = "admin:registry_download_changelist"
_TONES: dict[str, Tone] = {
    Download.State.REQUESTED: "",
    Download.State.ASSIGNED: "",
    Download.State.RUNNING: "info",
    Download.State.DONE: "success",
    Download.State.FAILED: "danger",
    Download.State.CANCELLED: "",
}
_FITS: dict[Fitting, tuple[str, Tone]] = {
    "gpu": ("fits the GPU", "success"),
    "fits": ("fits", "success"),
    "tight": ("tight", "warning"),
    "too_large": ("too large", "danger"),
    "unknown": ("unknown", ""),
}


@dataclass(frozen=True, slots=True)
class DownloadLine:
    """A download as the page shows it; ``models`` are the rows that it became."""

    download: Download
    models: tuple[Model, ...]

    @property
    def tone(self) -> Tone:
        """The colour of its state."""
        return _TONES[self.download.state]

    @property
    def percent(self) -> int | None:
        """How much is here; None where that is not known, or not of interest."""
        share = self.download.share
        if share is None or self.download.state == Download.State.DONE:
            return None
        return int(share * 100)

    @property
    def may_retry(self) -> bool:
        """Whether it can be tried again."""
        return self.download.state in (Download.State.FAILED, Download.State.CANCELLED)


@dataclass(frozen=True, slots=True)
class ChoiceLine:
    """A model of a repository as the page shows it."""

    choice: ModelChoice
    source: str
    fit: str
    tone: Tone


@admin.register(Download)
class DownloadAdmin(ModelAdmin[Download]):
    """One page of all downloads in place of the list of rows."""

    def get_urls(self) -> list[URLPattern]:
        """Return the page, its refreshed part, the list of files, and what changes."""
        view = self.admin_site.admin_view
        return [
            path(
                "",
                require_safe(view(self.page_view)),
                name="registry_download_changelist",
            ),
            path(
                "status/",
                require_safe(view(self.status_view)),
                name="registry_download_status",
            ),
            path(
                "files/",
                require_safe(view(self.files_view)),
                name="registry_download_files",
            ),
            path(
                "add/",
                require_POST(view(self.add_download_view)),
                name="registry_download_add",
            ),
            path(
                "<int:pk>/cancel/",
                require_POST(view(self.cancel_view)),
                name="registry_download_cancel",
            ),
            path(
                "<int:pk>/retry/",
                require_POST(view(self.retry_view)),
                name="registry_download_retry",
            ),
            path(
                "<int:pk>/forget/",
                require_POST(view(self.forget_view)),
                name="registry_download_forget",
            ),
        ]

    # Pages ------------------------------------------------------------------

    def page_view(self, request: HttpRequest) -> HttpResponse:
        """Return the page."""
        return self._page(request, "admin/registry/download/page.html", "Downloads")

    def status_view(self, request: HttpRequest) -> HttpResponse:
        """Return the part of the page that is refreshed."""
        return TemplateResponse(
            request, "admin/registry/download/status.html", self._context(request)
        )

    def files_view(self, request: HttpRequest) -> HttpResponse:
        """Return what the repository in ``source`` offers, or begin with an address."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        text = request.GET.get("source", "")
        more: dict[str, Any] = {"source": text}
        try:
            source = source_of(text)
            if isinstance(source, HubSource):
                offer = offer_of(source)
                more |= {"offer": offer, "lines": _choices(offer, source)}
            else:
                more["address"] = source
        except DownloadFailed as error:
            more["failure"] = str(error)
        title = "Get a model"
        return self._page(request, "admin/registry/download/files.html", title, more)

    # Changes ----------------------------------------------------------------

    def add_download_view(self, request: HttpRequest) -> HttpResponse:
        """Request the posted download."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        try:
            download, is_new = download_request(
                source=source_of(request.POST.get("source", "")), by=_user(request)
            )
        except DownloadFailed as error:
            self.message_user(request, str(error), messages.ERROR)
            return self._back()
        engine_wake()
        if not is_new:
            said = f"{download} is being downloaded already."
            self.message_user(request, said, messages.INFO)
        elif EngineNode.objects.alive().exists():
            self.message_user(request, f"Downloading {download}.", messages.SUCCESS)
        else:
            said = f"No engine is running. The next one will download {download}."
            self.message_user(request, said, messages.WARNING)
        return self._back()

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Cancel a download."""
        return self._change(
            request, pk, lambda each: download_cancel(each, by=_user(request))
        )

    def retry_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Go on with a download that failed."""
        return self._change(request, pk, download_retry)

    def forget_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Delete the row of a download that has ended."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        download = get_object_or_404(Download, pk=pk)
        if not download.is_open:
            download.delete()
        return self._back()

    def _change(
        self, request: HttpRequest, pk: int, change: Callable[[Download], bool]
    ) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        try:
            if not change(get_object_or_404(Download, pk=pk)):
                said = "Nothing was changed: it has another state by now."
                self.message_user(request, said, messages.INFO)
        except DownloadFailed as error:
            self.message_user(request, str(error), messages.ERROR)
        engine_wake()
        return self._back()

    def _back(self) -> HttpResponse:
        return HttpResponseRedirect(reverse(_PAGE))

    def _page(
        self,
        request: HttpRequest,
        template: str,
        title: str,
        more: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            **self._context(request),
            **(more or {}),
        }
        return TemplateResponse(request, template, context)

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        downloads = list(Download.objects.all()[:_MAX_SHOWN])
        names = {name for each in downloads for name in each.became}
        models = {each.name: each for each in Model.objects.filter(name__in=names)}
        return {
            "downloads": [
                DownloadLine(
                    each,
                    tuple(models[name] for name in each.became if name in models),
                )
                for each in downloads
            ],
            "may_add": self.has_add_permission(request),
            "may_change": self.has_change_permission(request),
            "may_forget": self.has_delete_permission(request),
        }


def _choices(offer: Offer, source: HubSource) -> list[ChoiceLine]:
    limits = largest_limits()
    revision = f"@{source.revision}" if source.revision else ""
    return [
        ChoiceLine(
            choice,
            f"{offer.repo}{revision}:{choice.path}",
            *_FITS[fitting(choice.size, limits)],
        )
        for choice in offer.choices
    ]


def _user(request: HttpRequest) -> str:
    return request.user.get_username()
