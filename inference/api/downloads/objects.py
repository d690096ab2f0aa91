"""The objects of the routes below /v1/downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from inference.download_fit import Fitting, fitting
from llm_manager.lib.file_names import without_folders

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from registry.hub.offer import ModelChoice, Offer
    from registry.models import Download

DownloadState = Literal["requested", "running", "done", "failed", "cancelled"]


class DownloadedFile(TypedDict):
    """A file: its place in the models directory; null is what nobody says."""

    path: str
    size_bytes: int | None
    sha256: str | None


class DownloadObject(TypedDict):
    """A model that is fetched; ``models`` are the ids that it became.

    ``speed`` is in bytes a second, ``progress`` from 0 to 1. Null is what is not known.
    """

    id: int
    object: Literal["download"]
    source: str
    state: DownloadState
    progress: float | None
    bytes_done: int
    bytes_total: int | None
    speed: float
    seconds_left: int | None
    error: str | None
    models: list[str]
    files: list[DownloadedFile]
    requested_by: str
    created: int
    finished: int | None


class DownloadList(TypedDict):
    """The downloads, the newest first."""

    object: Literal["list"]
    data: list[DownloadObject]
    has_more: bool


class OfferedModel(TypedDict):
    """A model of a repository: ``model`` names it in POST /v1/models.

    ``fit`` says whether it fits the largest machine that runs, by its size alone:
    `gpu` into the memory of GPUs, `fits` and `tight` into all memory.
    """

    model: str
    quantization: str
    size_bytes: int
    files: list[str]
    projector: str | None
    fit: Fitting


class LeftOutFile(TypedDict):
    """A file of a repository that cannot be downloaded, and why."""

    path: str
    reason: str


class OfferObject(TypedDict):
    """What a repository offers, small models first."""

    object: Literal["offer"]
    repo: str
    commit: str
    data: list[OfferedModel]
    left_out: list[LeftOutFile]


def _state(download: Download) -> DownloadState:
    # For clients one that waits for a certain node waits as any other.
    state: DownloadState = "requested"
    if download.state != "assigned":
        state = download.state  # type: ignore[assignment]
    return state


def download_object(download: Download) -> DownloadObject:
    """Return a download's object."""
    left, share = download.seconds_left, download.share
    return {
        "id": download.pk,
        "object": "download",
        "source": download.source,
        "state": _state(download),
        "progress": None if share is None else round(share, 4),
        "bytes_done": download.bytes_done,
        "bytes_total": download.bytes_total,
        "speed": round(download.speed, 1),
        "seconds_left": None if left is None else round(left),
        "error": without_folders(download.error) if download.error else None,
        "models": list(download.became),
        "files": [
            {
                "path": file["target"],
                "size_bytes": file["size"],
                "sha256": file["sha256"] or None,
            }
            for file in download.wanted()
        ],
        "requested_by": download.requested_by,
        "created": int(download.requested_at.timestamp()),
        "finished": _seconds(download.finished_at),
    }


def offer_object(offer: Offer, limits: Sequence[int]) -> OfferObject:
    """Return the object of what a repository offers."""
    return {
        "object": "offer",
        "repo": offer.repo,
        "commit": offer.commit,
        "data": [_offered(offer, each, limits) for each in offer.choices],
        "left_out": [{"path": path, "reason": why} for path, why in offer.left_out],
    }


def _offered(offer: Offer, choice: ModelChoice, limits: Sequence[int]) -> OfferedModel:
    projector = choice.projector
    return {
        "model": f"{offer.repo}:{choice.path}",
        "quantization": choice.quantization,
        "size_bytes": choice.size,
        "files": [file.path for file in choice.all_files],
        "projector": None if projector is None else projector.path,
        "fit": fitting(choice.size, limits),
    }


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
