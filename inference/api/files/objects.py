"""The objects of the routes below /v1/files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

from accounts.files.folder import content_path

if TYPE_CHECKING:
    from accounts.models import StoredFile


_LOST = "The content of this file is not on this server; upload it again."


class FileObject(TypedDict):
    """A file that is kept."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["processed", "error"]
    status_details: NotRequired[str]


class FileList(TypedDict):
    """A page of files."""

    object: Literal["list"]
    data: list[FileObject]
    first_id: str
    last_id: str
    has_more: bool


class DeletedFile(TypedDict):
    """A file that was deleted."""

    id: str
    object: Literal["file"]
    deleted: bool


ANSWERS: dict[str, type] = {
    "DeletedFile": DeletedFile,
    "File": FileObject,
    "FileList": FileList,
}


def file_object(row: StoredFile) -> dict[str, Any]:
    """Return OpenAI's object of a file; it says if the content is not here."""
    shown = {
        "id": row.pk,
        "object": "file",
        "bytes": row.bytes,
        "created_at": int(row.created_at.timestamp()),
        "expires_at": int(row.expires_at.timestamp()),
        "filename": row.filename,
        "purpose": row.purpose,
        "status": "processed",
    }
    if not content_path(row.pk).exists():
        # A backup has the rows alone.
        shown |= {"status": "error", "status_details": _LOST}
    return shown
