"""Where the files of a model come from, and where they come to."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypedDict

from registry.hub.hub import file_url, hub_headers
from registry.hub.modelscope import modelscope_url
from registry.hub.parts import WantedFile, part_key
from registry.hub.paths import checked_path, place_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from registry.hub.offer import ModelChoice, Offer
    from registry.hub.source import FileSource, HubSource

#: Parts of files, in the models directory; scans skip it.
PARTS = ".downloads"


class DownloadFile(TypedDict):
    """A file: its path in the repository or its address, and where it comes to.

    ``target`` is relative to the models directory; ``size`` is None and ``sha256`` ""
    where nobody says them.
    """

    source: str
    target: str
    size: int | None
    sha256: str


def hub_files(
    source: HubSource, offer: Offer, choice: ModelChoice
) -> list[DownloadFile]:
    """Return the files of a model; its projector comes into the folder of the model.

    Those of ModelScope have addresses.
    """
    repo = source.repo
    folder = PurePosixPath(repo) / PurePosixPath(choice.path).parent
    return [
        DownloadFile(
            source=modelscope_url(repo, offer.commit, file.path)
            if source.is_modelscope
            else file.path,
            target=str(
                folder / PurePosixPath(file.path).name
                if file is choice.projector
                else PurePosixPath(repo) / file.path
            ),
            size=file.size,
            sha256=file.sha256,
        )
        for file in choice.all_files
    ]


def address_files(source: FileSource) -> list[DownloadFile]:
    """Return the file of an address, of which nothing else is known."""
    return [
        DownloadFile(source=source.url, target=source.file_name, size=None, sha256="")
    ]


def part_keys(files: Iterable[DownloadFile], *, repo: str, commit: str) -> list[str]:
    """Return the names of the parts of files, as ``wanted_files`` has them."""
    return [
        part_key(_url(file, repo=repo, commit=commit), file["sha256"]) for file in files
    ]


def wanted_files(
    files: Iterable[DownloadFile], *, repo: str, commit: str, root: Path
) -> list[WantedFile]:
    """Return what is to be fetched, with places in the models directory.

    ``repo`` is "" for addresses. Raises HostilePath: a row is believed no more than the
    hub.
    """
    headers = hub_headers() if repo else None
    return [
        WantedFile(
            url=_url(file, repo=repo, commit=commit),
            target=place_in(root, checked_path(file["target"])),
            size=file["size"],
            sha256=file["sha256"],
            headers=headers,
        )
        for file in files
    ]


def _url(file: DownloadFile, *, repo: str, commit: str) -> str:
    return file_url(repo, commit, file["source"]) if repo else file["source"]
