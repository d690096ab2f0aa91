"""An upload: a multipart body that goes to disk as it comes in.

The body is written to one file, and its part "file" from there to another one, by
Django's parser. So nothing of it is ever in memory as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from rest_framework.exceptions import UnsupportedMediaType

from accounts.errors import StorageFull
from accounts.files.folder import parsed_path, upload_bytes, upload_path
from accounts.files.services import file_add, file_room
from accounts.models import StoredFile
from inference.api.errors import BadRequest, BodyTooLarge
from llm_manager.config.in_force import config
from llm_manager.lib.quoting import quote, storable
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inference.api.body.incoming_body import IncomingBody

MIB = 1024 * 1024
#: What a multipart body has beside the file, at most.
_ENVELOPE_BYTES = 64 * 1024
#: Bytes that are collected before they are written.
_BLOCK_BYTES = MIB
_NAME_LENGTH = 255
#: What an upload has beside the file, and what it means.
PARTS = {
    "expires_after[anchor]": "From when the file is kept: created_at.",
    "expires_after[seconds]": "How long it is kept; files.retention_days is the most.",
    "purpose": "batch: this server has a use for no other files.",
}
#: OpenAI's bounds.
_MIN_SECONDS, _MAX_SECONDS = 3600, 2_592_000


def max_upload_bytes() -> int:
    """Return the most bytes of the body of an upload."""
    most: int = config().files.max_mb * MIB
    return most + _ENVELOPE_BYTES


@dataclass(slots=True)
class Upload:
    """The files of one upload, which ``discard`` deletes."""

    meta: Mapping[str, Any]
    owner_id: int
    declared: int
    body: Path = field(init=False)
    content: Path = field(init=False)

    def __post_init__(self) -> None:
        """Choose where its files lie."""
        self.body = upload_path(self.owner_id, self.declared)
        self.content = parsed_path()

    async def receive(self, incoming: IncomingBody) -> None:
        """Write the body to disk.

        Raises StorageFull, and what ``IncomingBody.pieces`` raises.
        """
        with await in_thread(self._open) as sink:
            block = bytearray()
            async for piece in incoming.pieces(max_upload_bytes()):
                block += piece
                if len(block) >= _BLOCK_BYTES:
                    await in_thread(self._write, sink, bytes(block))
                    block.clear()
            await in_thread(self._write, sink, bytes(block))

    def _open(self) -> IO[bytes]:
        """Return the file of the body, which counts from now on. Raises StorageFull."""
        sink = self.body.open("xb")
        try:
            self._check_room()
        except BaseException:
            sink.close()
            raise
        return sink

    def _write(self, sink: IO[bytes], block: bytes) -> None:
        sink.write(block)
        if not self.declared:
            # Nobody knows how much is still to come.
            sink.flush()
            self._check_room()

    def _check_room(self) -> None:
        uploads = upload_bytes(self.owner_id)
        if uploads - _ENVELOPE_BYTES > file_room(self.owner_id):
            raise StorageFull(config().files.quota_mb)

    def store(self) -> StoredFile:
        """Store the file that the body has. Raises BadRequest, StorageFull."""
        filename, parts = self._parse()
        purpose = parts.get("purpose")
        if purpose is None:
            raise BadRequest(
                "Missing required parameter: 'purpose'.",
                param="purpose",
                code="missing_required_parameter",
            )
        if purpose != StoredFile.BATCH:
            raise BadRequest(
                f"Unsupported value: 'purpose' is '{quote(purpose)}', and the one that "
                "this server has a use for is 'batch'.",
                param="purpose",
                code="unsupported_value",
            )
        # The row counts from here on; both would take of the quota twice.
        self.body.unlink()
        return file_add(
            self.content,
            owner_id=self.owner_id,
            filename=filename,
            purpose=purpose,
            seconds=_seconds(parts),
        )

    def discard(self) -> None:
        """Delete what is left of the upload."""
        self.body.unlink(missing_ok=True)
        self.content.unlink(missing_ok=True)

    def _parse(self) -> tuple[str, dict[str, str]]:
        """Write the file's content; return its name and the other parts."""
        meta = {**self.meta, "CONTENT_LENGTH": str(self.body.stat().st_size)}
        handler = _ToDisk(self.content)
        try:
            with self.body.open("rb") as source:
                parser = MultiPartParser(meta, source, [handler], "utf-8")
                fields, _ = parser.parse()
        except MultiPartParserError as error:
            raise BadRequest(
                f"The body is not valid multipart/form-data: {quote(str(error))}",
                code="invalid_multipart",
            ) from None
        except (RequestDataTooBig, SuspiciousOperation):
            raise BadRequest(
                "The body has more beside the file than an upload may have.",
                code="invalid_multipart",
            ) from None
        finally:
            handler.close()
        for name in fields:
            if name not in PARTS:
                raise BadRequest(
                    f"Unknown parameter: '{quote(name)}'.",
                    param=quote(name),
                    code="unknown_parameter",
                )
        if handler.filename is None:
            raise BadRequest(
                "Missing required parameter: 'file'.",
                param="file",
                code="missing_required_parameter",
            )
        if not self.content.stat().st_size:
            raise BadRequest("The file is empty.", param="file", code="empty_file")
        return handler.filename, {name: str(fields[name]) for name in fields}


class _ToDisk(FileUploadHandler):
    """Writes the part "file" to a path; ``filename`` is what the client calls it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._sink: IO[bytes] | None = None
        self.filename: str | None = None

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin a file. Raises BadRequest for a second one, or another name."""
        super().new_file(*args, **kwargs)
        if self.field_name != "file" or self.filename is not None:
            raise BadRequest(
                f"An upload has one file, in the part 'file'; another one is in "
                f"'{quote(str(self.field_name))}'.",
                param="file",
                code="unknown_parameter",
            )
        name = storable(str(self.file_name))
        self.filename = name if len(name) <= _NAME_LENGTH else name[-_NAME_LENGTH:]
        self._sink = self._path.open("xb")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Write a piece. Raises BodyTooLarge."""
        most = config().files.max_mb * MIB
        if start + len(raw_data) > most:
            raise BodyTooLarge(most)
        assert self._sink is not None  # noqa: S101 - new_file() came before
        self._sink.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        """End the file."""
        self.close()
        # Its content is where it belongs already.
        return UploadedFile(BytesIO(), name=self.filename, size=file_size)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._sink is not None:
            self._sink.close()


def check_upload(content_type: str, owner_id: int, declared: int) -> None:
    """Refuse an upload by its headers. Raises UnsupportedMediaType, StorageFull."""
    kind = content_type.split(";", maxsplit=1)[0].strip().lower()
    if kind != "multipart/form-data":
        raise UnsupportedMediaType(
            content_type, "A file is uploaded as multipart/form-data."
        )
    if max(declared - _ENVELOPE_BYTES, 1) > file_room(owner_id):
        raise StorageFull(config().files.quota_mb)


def _seconds(parts: Mapping[str, str]) -> int | None:
    """Return how long a file is to be kept, if the client says. Raises BadRequest."""
    anchor = parts.get("expires_after[anchor]")
    seconds = parts.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise BadRequest(
            "Invalid value for 'expires_after[anchor]': it must be created_at.",
            param="expires_after[anchor]",
        )
    text = seconds or ""
    is_number = text.isdecimal() and len(text) < 8
    if not (is_number and _MIN_SECONDS <= int(text) <= _MAX_SECONDS):
        raise BadRequest(
            "Invalid value for 'expires_after[seconds]': it must be between "
            f"{_MIN_SECONDS} and {_MAX_SECONDS}.",
            param="expires_after[seconds]",
        )
    return int(text)
