"""Reads a journal's file: entries of requests that are over, or were interrupted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from accounts.usage.journal_line import JournalKind, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accounts.usage.journal import JournalFile

    #: What is known of a request: the columns of its row, before they are converted.
    Entry = dict[str, Any]

_READ_BYTES = 2**20
#: What became of a request whose web process died.
_INTERRUPTED = {
    "status": 500,
    "error_code": "web_process_died",
    "completed": False,
}


class JournalReader:
    """Reads one file from its beginning, as it grows.

    ``ready`` are the entries that were read; whoever has stored some removes them.
    """

    def __init__(self, file: JournalFile) -> None:
        self.file = file
        self.ready: list[Entry] = []
        self._offset = 0
        self._open: dict[str, Entry] = {}

    @property
    def is_over(self) -> bool:
        """Whether all that was read is stored, and no request is open."""
        return not self.ready and not self._open

    def read(self) -> bool:
        """Read more of what is there; return whether there was any. Raises OSError."""
        data = os.pread(self.file.fd, _READ_BYTES, self._offset)
        # The last line may be in the middle of being written.
        end = data.rfind(b"\n") + 1
        self._offset += end
        for line in data[:end].splitlines():
            # A torn line was written again, or its process had not accepted anything.
            if (value := decode(line)) is not None:
                self._take(value)
        return end > 0

    def give_up_open(self) -> None:
        """Make entries of the requests that have not ended: their process is dead."""
        for entry in self._open.values():
            self.ready.append({**entry, **_INTERRUPTED})
        self._open.clear()

    def stored(self, entries: Sequence[Entry]) -> None:
        """Forget the first entries that are ready: they are stored."""
        del self.ready[: len(entries)]

    def _take(self, value: dict[str, Any]) -> None:
        match value.pop("kind", None):
            case JournalKind.BEGIN:
                self._open[value["id"]] = value
            case JournalKind.END:
                begun = self._open.pop(value["id"], {})
                self.ready.append({**begun, **value})
            case JournalKind.WHOLE:
                self.ready.append(value)
            case JournalKind.PROGRESS:
                for id_, counts in value["counts"].items():
                    if id_ in self._open:
                        self._open[id_].update(counts)
            case JournalKind.CARRIED:
                self._open.clear()
