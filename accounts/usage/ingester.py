"""Reads journals into the database, in a thread of the web process."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from django.db import DatabaseError, close_old_connections, connection

from accounts.usage.ingestion import store
from accounts.usage.journal import take_over
from accounts.usage.journal_reader import JournalReader

if TYPE_CHECKING:
    from pathlib import Path

    from accounts.usage.journal import Journal, JournalFile

logger = logging.getLogger(__name__)

#: How soon a request's row is there.
_LOOK_EVERY_S = 1.0
#: The time from look to look while no lines come. A process looks when it starts, so
#: what a dead one has left waits for this only if nobody takes its place.
_REST_S = 9.0
#: How soon the requests of a dead web process have theirs.
_TAKE_OVER_EVERY_S = 2.0
#: Rows of one transaction: SQLite's other writers wait for it.
_BATCH = 250
#: How long a process that ends may take to store its last rows; another one can.
_LAST_LOOK_S = 5.0


class Ingester:
    """Stores the entries of a process' own journal, and of those of dead processes.

    While the database is away or locked the journal's files wait.
    """

    def __init__(self, journal: Journal, folder: Path) -> None:
        self._journal = journal
        self._folder = folder
        self._readers: dict[Path, JournalReader] = {}
        self._orphans: list[JournalReader] = []
        self._stopping = threading.Event()
        self._has_lines = threading.Event()
        self._has_lines.set()
        self._looked_at = -_TAKE_OVER_EVERY_S
        self._thread = threading.Thread(
            target=self._run, name="usage-ingester", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Store what is there, end the thread and close the journal.

        What cannot be stored now is left to the next process.
        """
        self._stopping.set()
        self._has_lines.set()
        self._thread.join(_LAST_LOOK_S)
        current = self._journal.current
        reader = self._readers.get(current.path) if current else None
        is_over = not self._thread.is_alive() and (reader is None or reader.is_over)
        self._journal.close(remove=is_over)

    def look_soon(self) -> None:
        """Look within a second: the journal has new lines."""
        if not self._has_lines.is_set():
            self._has_lines.set()

    def look(self) -> None:
        """Store what has come. Raises DatabaseError and OSError; nothing is lost."""
        while self._journal.retired:
            file = self._journal.retired[0]
            reader = self._reader(file)
            _store_all(reader)
            # Its requests that run have lines in the next file.
            self._readers.pop(file.path)
            self._journal.retired.popleft().remove()
        current = self._journal.current
        if current is not None:
            _store_all(self._reader(current))
        self._adopt()

    def _adopt(self) -> None:
        """Store what dead processes have left."""
        now = time.monotonic()
        if now - self._looked_at >= _TAKE_OVER_EVERY_S:
            self._looked_at = now
            self._orphans += [JournalReader(file) for file in take_over(self._folder)]
        while self._orphans:
            reader = self._orphans[0]
            while reader.read():
                _store_ready(reader)
            reader.give_up_open()
            _store_ready(reader)
            reader.file.remove()
            self._orphans.pop(0)

    def _reader(self, file: JournalFile) -> JournalReader:
        reader = self._readers.get(file.path)
        if reader is None:
            reader = self._readers[file.path] = JournalReader(file)
        return reader

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._has_lines.wait(_REST_S)
            # Lines that come together are stored together.
            is_last = self._stopping.wait(_LOOK_EVERY_S)
            # Before the look: it may miss those that come meanwhile.
            self._has_lines.clear()
            try:
                close_old_connections()
                self.look()
            except (DatabaseError, OSError) as error:
                logger.warning("Usage waits in the journal: %s", error)
                self._try_again()
            except Exception:
                # The thread must live: the next look may succeed.
                logger.exception("Usage waits in the journal")
                self._try_again()
        connection.close()

    def _try_again(self) -> None:
        connection.close()
        self._has_lines.set()


def _store_all(reader: JournalReader) -> None:
    _store_ready(reader)
    while reader.read():
        _store_ready(reader)


def _store_ready(reader: JournalReader) -> None:
    while batch := reader.ready[:_BATCH]:
        store(batch)
        reader.stored(batch)
