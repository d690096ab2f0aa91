"""Pulls: the files of a known model to a node that lacks them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from registry.downloads.requesting import network_policy
from registry.hub.errors import DiskFull, DownloadFailed, WrongContent
from registry.hub.network import checked_client
from registry.hub.placing import DownloadFile, wanted_files
from registry.models import Download, Model, ModelCopy
from registry.scan.files import fingerprint_now
from registry.sharing.client import described_files, file_url, node_client
from registry.sharing.messages import shared_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import httpx2

    from registry.hub.fetching import Fetcher
    from registry.hub.parts import WantedFile

_State = Download.State
#: What ``nodes.pull_models`` permits.
FROM_NODES, FROM_HUB = ("nodes", "both"), ("hub", "both")


@dataclass(frozen=True, slots=True)
class PullSource:
    """Where the files of a model can come from: ``name`` is for people.

    ``prepare`` says what is to be fetched, for the row and for the fetcher; it may ask
    the source, and raise DownloadFailed.
    """

    name: str
    prepare: Callable[[], tuple[list[DownloadFile], list[WantedFile]]]
    client: Callable[[], httpx2.Client]


def pull_request(*, model: Model, node: str, by: str) -> Download:
    """Request that a node gets the files of a model; return the row. Idempotent.

    A node has one row for each model, which goes on with what has come.
    """
    with transaction.atomic():
        rows = Download.objects.select_for_update(no_key=True)
        row = rows.filter(fingerprint=model.fingerprint, node=node).first()
        if row is not None and row.is_open:
            return row
        row = row or Download(fingerprint=model.fingerprint, node=node)
        row.source = f"{model.name} to {node}"
        row.state = _State.ASSIGNED
        row.requested_by, row.requested_at = by, timezone.now()
        row.is_cancelled, row.error, row.became = False, "", []
        row.bytes_total, row.bytes_done = model.file_size, 0
        row.started_at = row.finished_at = row.seen_at = None
        row.save()
    return row


def hub_record(model: Model) -> Download | None:
    """Return the download that a model's files came by, if there was one."""
    names = {path.name for path in model.paths}
    for download in Download.objects.filter(state=_State.DONE, fingerprint=""):
        targets = {PurePosixPath(file["target"]).name for file in download.wanted()}
        if model.name in download.became and names <= targets:
            return download
    return None


def pull_files(
    download: Download,
    model: Model,
    fetcher: Callable[[httpx2.Client], Fetcher],
    *,
    beat: Callable[[], None],
) -> None:
    """Fetch the files of a model from the first source that has them.

    ``fetcher`` makes one for a client; ``beat`` is called while a source takes its
    time, and may raise DownloadStopped. The row gets what is to be fetched. Raises
    DownloadFailed with what each source said, DownloadStopped.
    """
    said = []
    for source in _sources(model, beat):
        try:
            files, wanted = source.prepare()
            download.files = files
            download.bytes_total = sum(file["size"] or 0 for file in files) or None
            download.save(update_fields=["files", "bytes_total"])
            with source.client() as client:
                fetcher(client).fetch(wanted, check=partial(_check, model, source))
            return
        except DiskFull:
            raise
        except DownloadFailed as error:
            said.append(f"{source.name}: {error}")
    if not said:
        raise DownloadFailed(
            f"No other machine sends '{model}' (nodes.listen), and there is no hub "
            "that it is known to be of, as far as nodes.pull_models permits them."
        )
    raise DownloadFailed(" ".join(said))


def _sources(model: Model, beat: Callable[[], None]) -> Iterator[PullSource]:
    permitted = settings.CONFIG.nodes.pull_models
    if permitted in FROM_NODES:
        copies = ModelCopy.objects.elsewhere().filter(fingerprint=model.fingerprint)
        copies = copies.exclude(node__files_address="").select_related("node")
        for copy in copies.order_by("node__name", "path"):
            yield _of_node(copy, beat)
    if permitted in FROM_HUB and (record := hub_record(model)):
        yield _of_hub(model, record)


def _of_node(copy: ModelCopy, beat: Callable[[], None]) -> PullSource:
    secret = shared_secret(settings.SECRET_KEY)
    address = copy.node.files_address

    def prepare() -> tuple[list[DownloadFile], list[WantedFile]]:
        described = described_files(address, secret, copy.fingerprint, beat=beat)
        if len(described) != len(copy.paths):
            raise WrongContent("it has another number of files than it reports.")
        folder = PurePosixPath(copy.place or copy.file_name).parent
        files = [
            DownloadFile(
                source=file_url(address, copy.fingerprint, number),
                target=str(folder / Path(path).name),
                size=size,
                sha256=sha256,
            )
            for number, (path, (size, sha256)) in enumerate(
                zip(copy.paths, described, strict=True)
            )
        ]
        return files, wanted_files(files, repo="", commit="", root=settings.MODELS_DIR)

    return PullSource(copy.node.name, prepare, lambda: node_client(secret))


def _of_hub(model: Model, record: Download) -> PullSource:
    names = [path.name for path in model.paths]

    def prepare() -> tuple[list[DownloadFile], list[WantedFile]]:
        by_name = {PurePosixPath(file["target"]).name: file for file in record.wanted()}
        files = [by_name[name] for name in names]
        root = settings.MODELS_DIR
        return files, wanted_files(
            files, repo=record.repo, commit=record.commit, root=root
        )

    return PullSource("the hub", prepare, lambda: checked_client(network_policy()))


def _check(model: Model, source: PullSource, paths: Sequence[Path]) -> None:
    """Raise WrongContent unless files are those of a model."""
    if fingerprint_now(paths) != model.fingerprint:
        raise WrongContent(
            f"What came from {source.name} is not '{model}': its fingerprint is "
            "another one. It was deleted."
        )
