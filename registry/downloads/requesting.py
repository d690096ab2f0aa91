"""Asking for downloads, cancelling them, trying them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from registry.downloads.parts import parts_discard
from registry.hub.errors import DownloadFailed
from registry.hub.hub import hub_endpoint, hub_offer
from registry.hub.network import NetworkPolicy
from registry.hub.offer import choose
from registry.hub.placing import address_files, hub_files
from registry.hub.source import HubSource, parse_source
from registry.models import Download

if TYPE_CHECKING:
    from registry.hub.offer import Offer
    from registry.hub.placing import DownloadFile
    from registry.hub.source import FileSource, Source

_State = Download.State


def network_policy() -> NetworkPolicy:
    """Return whom the configuration lets downloads connect to."""
    config = settings.CONFIG.downloads
    return NetworkPolicy(config.hosts, config.private_addresses)


def source_of(text: str) -> Source:
    """Return what is named. Raises InvalidSource and HostilePath."""
    return parse_source(text, endpoint=hub_endpoint())


def offer_of(source: HubSource) -> Offer:
    """Ask the hub what a repository offers. Raises DownloadFailed."""
    return hub_offer(source, network_policy())


def download_request(*, source: Source, by: str) -> tuple[Download, bool]:
    """Request a download; return it, and whether it is a new one.

    Asks the hub which files it is of. Raises DownloadFailed.
    """
    if isinstance(source, HubSource):
        offer = offer_of(source)
        choice = choose(offer, source.choice)
        return _add(
            source=f"{source.name}:{choice.path}",
            # Of addresses a row has no repository.
            repo="" if source.is_modelscope else source.repo,
            commit=offer.commit,
            files=hub_files(source, offer, choice),
            bytes_total=choice.size,
            requested_by=by,
        )
    network_policy().check_url(*_scheme_and_host(source))
    return _add(source=source.url, files=address_files(source), requested_by=by)


def _scheme_and_host(source: FileSource) -> tuple[str, str]:
    scheme, _, rest = source.url.partition("://")
    return scheme.lower(), rest.partition("/")[0].partition(":")[0]


def _add(*, files: list[DownloadFile], **columns: object) -> tuple[Download, bool]:
    """Add a row, unless an open one has the same files."""
    with transaction.atomic():
        for download in Download.objects.select_for_update(no_key=True).open():
            if not download.fingerprint and download.wanted() == files:
                return download, False
        return Download.objects.create(files=files, **columns), True


def download_cancel(download: Download, *, by: str) -> bool:
    """Cancel a download; return whether it was open.

    One that runs ends within seconds. What has come of it is deleted, by this process
    if nobody runs it.
    """
    with transaction.atomic():
        row = Download.objects.select_for_update(no_key=True).get(pk=download.pk)
        if not row.is_open:
            return False
        is_run_by_nobody = row.state == row.waiting_state or row.is_silent
        if is_run_by_nobody:
            row.state = _State.CANCELLED
            row.finished_at = timezone.now()
        row.is_cancelled = True
        row.speed = 0
        row.error = f"Cancelled by {by}." if by else "Cancelled."
        row.save(
            update_fields=["state", "finished_at", "is_cancelled", "speed", "error"]
        )
    if is_run_by_nobody:
        parts_discard(row)
    download.refresh_from_db()
    return True


def download_retry(download: Download) -> bool:
    """Request one again that failed or was cancelled; return whether it had.

    It goes on with what is here. Raises DownloadFailed if another one has its files.
    """
    with transaction.atomic():
        row = Download.objects.select_for_update(no_key=True).get(pk=download.pk)
        if row.state not in (_State.FAILED, _State.CANCELLED):
            return False
        others = Download.objects.open().filter(fingerprint=row.fingerprint)
        if row.fingerprint:
            others = others.filter(node=row.node)
        if any(each.wanted() == row.wanted() for each in others):
            raise DownloadFailed(f"'{row}' is being downloaded already.")
        row.state = row.waiting_state
        row.is_cancelled = False
        row.error = ""
        row.finished_at = None
        row.save(update_fields=["state", "is_cancelled", "error", "finished_at"])
    download.refresh_from_db()
    return True
