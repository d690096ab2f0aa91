"""The content of a file, as it is read from disk."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from django.http import StreamingHttpResponse

from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from accounts.models import StoredFile

_BLOCK_BYTES = 256 * 1024


class ContentResponse(StreamingHttpResponse):
    """An open file, a block at a time."""

    def __init__(self, row: StoredFile, source: IO[bytes]) -> None:
        super().__init__(
            _blocks(source),
            content_type="application/octet-stream",
            headers={
                "Content-Length": str(row.bytes),
                # Whatever is in it, no browser shows it as a page of this site.
                "Content-Disposition": f'attachment; filename="{row.pk}.jsonl"',
            },
        )
        self._source = source

    def close(self) -> None:
        """End the answer; close the file."""
        super().close()
        self._source.close()


async def _blocks(source: IO[bytes]) -> AsyncIterator[bytes]:
    while block := await in_thread(source.read, _BLOCK_BYTES):
        yield block
