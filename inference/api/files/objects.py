"""The objects of the routes below /v1/files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from accounts.models import StoredFile


class FileObject(TypedDict):
    """A file that is kept."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["processed"]


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
    """Return OpenAI's object of a file."""
    return {
        "id": row.pk,
        "object": "file",
        "bytes": row.bytes,
        "created_at": int(row.created_at.timestamp()),
        "expires_at": int(row.expires_at.timestamp()),
        "filename": row.filename,
        "purpose": row.purpose,
        "status": "processed",
    }
