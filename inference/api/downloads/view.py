"""/v1/downloads, and what POST /v1/models does: models from a hub or an address."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rest_framework.exceptions import PermissionDenied

from accounts.audit.actor import acting
from accounts.keys.key_access import allowed_model_ids
from accounts.models import Scope
from inference.api.administration.bodies import ListQuery
from inference.api.administration.view import page, query_of
from inference.api.downloads.events import followers
from inference.api.downloads.hub_calls import in_hub_thread
from inference.api.downloads.objects import (
    DownloadList,
    OfferObject,
    download_object,
    offer_object,
)
from inference.api.downloads.request import OfferQuery, PullRequest
from inference.api.errors import BadRequest, RowNotFound
from inference.api.model_access import key_of
from inference.api.openapi.downloads import (
    cancel_schema,
    download_list_schema,
    download_schema,
    events_schema,
    offer_schema,
    retry_schema,
)
from inference.api.responses import EventStreamResponse, json_response
from inference.api.view import ApiView, actor_of
from inference.download_fit import largest_limits
from inference.engine_messages import engine_wake
from llm_manager.lib.threads import in_thread
from registry.downloads.requesting import (
    download_cancel,
    download_request,
    download_retry,
    offer_of,
    source_of,
)
from registry.hub.source import HubSource
from registry.models import Download

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from registry.hub.source import Source


def refuse_restricted_key(request: Request) -> None:
    """Raise PermissionDenied for a key that may not use all models.

    What others get names models that the key may not even know of.
    """
    if allowed_model_ids(key_of(request)) is not None:
        raise PermissionDenied(
            "A key that is restricted to some models may neither get nor delete any, "
            "nor see downloads.",
            code="model_not_allowed",
        )


def pull_prepare(request: Request) -> tuple[Source, bool]:
    """Return what POST /v1/models asks for, and whether progress is streamed.

    Raises BadRequest, InvalidSource, HostilePath and PermissionDenied.
    """
    refuse_restricted_key(request)
    body = PullRequest.parse(request.data)
    return source_of(body.model), body.stream


async def pull(request: Request, prepared: tuple[Source, bool]) -> HttpResponseBase:
    """Request a download; answer with it, or with its progress.

    The status is 202, or 200 for one that was requested before. Raises DownloadFailed,
    and ServerBusy if too many follow downloads already.
    """
    source, is_stream = prepared
    if is_stream:
        followers.check_room()
    by = name_of(request)
    with acting(partial(actor_of, request)):
        download, is_new = await in_hub_thread(
            partial(download_request, source=source, by=by)
        )
    await in_thread(engine_wake)
    if is_stream:
        return EventStreamResponse(followers.events(download))
    return json_response(download_object(download), status=202 if is_new else 200)


def name_of(request: Request) -> str:
    """Return who asks, for a row: the owner of the key."""
    key = key_of(request)
    return "" if key is None else key.owner.get_username()


class DownloadsView(ApiView):
    """GET /v1/downloads."""

    required_scope = Scope.MODELS

    def prepare(self, request: Request) -> DownloadList:
        """Return the downloads, the newest first. One query."""
        refuse_restricted_key(request)
        query = query_of(request, ListQuery)
        rows = Download.objects.all()
        if query.after:
            rows = rows.filter(pk__lt=_number(query.after, "after"))
        found = page(query, rows.order_by("-pk"), download_object)
        return DownloadList(
            object="list", data=found["data"], has_more=found["has_more"]
        )

    @download_list_schema
    async def get(self, request: Request, downloads: DownloadList) -> HttpResponse:
        """List the downloads."""
        return json_response(downloads)


class OfferView(ApiView):
    """GET /v1/downloads/offer."""

    required_scope = Scope.MODELS

    def prepare(self, request: Request) -> HubSource:
        """Return the repository. Raises BadRequest and InvalidSource."""
        refuse_restricted_key(request)
        source = source_of(query_of(request, OfferQuery).model)
        if not isinstance(source, HubSource):
            raise BadRequest(
                "An address has one file; only a repository has a list.", param="model"
            )
        return source

    @offer_schema
    async def get(self, request: Request, source: HubSource) -> HttpResponse:
        """List the models of a repository."""

        def ask() -> OfferObject:
            return offer_object(offer_of(source), largest_limits())

        return json_response(await in_hub_thread(ask))


class _OneDownload(ApiView):
    required_scope = Scope.MODELS

    def prepare(self, request: Request) -> Download:
        """Return the download. Raises PermissionDenied and RowNotFound."""
        refuse_restricted_key(request)
        number: int = self.kwargs["number"]
        for download in Download.objects.filter(pk=number):
            return download
        raise RowNotFound("download", str(number))


class DownloadView(_OneDownload):
    """GET /v1/downloads/{number}."""

    @download_schema
    async def get(self, request: Request, download: Download) -> HttpResponse:
        """Return a download."""
        return json_response(download_object(download))


class DownloadEventsView(_OneDownload):
    """GET /v1/downloads/{number}/events."""

    @events_schema
    async def get(self, request: Request, download: Download) -> HttpResponseBase:
        """Follow a download until it has ended. Raises ServerBusy."""
        followers.check_room()
        return EventStreamResponse(followers.events(download))


class CancelDownloadView(_OneDownload):
    """POST /v1/downloads/{number}/cancel."""

    def prepare(self, request: Request) -> Download:
        """Cancel the download; return it."""
        download = super().prepare(request)
        download_cancel(download, by=name_of(request))
        return download

    @cancel_schema
    async def post(self, request: Request, download: Download) -> HttpResponse:
        """Cancel a download; what has come of it is deleted."""
        return json_response(download_object(download))


class RetryDownloadView(_OneDownload):
    """POST /v1/downloads/{number}/retry."""

    def prepare(self, request: Request) -> Download:
        """Request the download again; return it. Raises DownloadFailed."""
        download = super().prepare(request)
        if download_retry(download):
            engine_wake()
        return download

    @retry_schema
    async def post(self, request: Request, download: Download) -> HttpResponse:
        """Go on with a download that failed or was cancelled."""
        return json_response(download_object(download))


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest(f"'{name}' is not the id of a download.", param=name)
    return int(text)


#: Below /v1.
ROUTES = (
    ("downloads", DownloadsView, "downloads"),
    ("downloads/offer", OfferView, "download-offer"),
    ("downloads/<int:number>", DownloadView, "download"),
    ("downloads/<int:number>/events", DownloadEventsView, "download-events"),
    ("downloads/<int:number>/cancel", CancelDownloadView, "cancel-download"),
    ("downloads/<int:number>/retry", RetryDownloadView, "retry-download"),
)
