"""What journals have that the database has not: for people to see."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accounts.models import UsageRecord
from accounts.usage.journal import SUFFIX
from accounts.usage.journal_line import JournalKind, decode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Some five hundred requests: enough to see that they wait, and since when.
_TAIL_BYTES = 256 * 1024
_ENDS = (JournalKind.END, JournalKind.WHOLE)
_MS_BITS = 80


@dataclass(frozen=True, slots=True)
class JournalBacklog:
    """The journals of this machine's web processes.

    ``waiting`` are requests that are over and have no row, of the last 256 KiB of each
    file; ``oldest_at`` is when the first of these ended, in seconds since the epoch.
    """

    files: int = 0
    size_bytes: int = 0
    waiting: int = 0
    oldest_at: float | None = None


def journal_backlog(folder: Path) -> JournalBacklog:
    """Return what waits in a folder's journals. One query a file. Raises OSError."""
    files = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    size, waiting = 0, []
    for path in files:
        try:
            size += path.stat().st_size
            waiting += _without_rows(list(_ended(_tail(path))))
        except FileNotFoundError:
            # All of its requests have been stored meanwhile.
            continue
    return JournalBacklog(len(files), size, len(waiting), min(waiting, default=None))


def _tail(path: Path) -> list[bytes]:
    """Return the last whole lines of a file."""
    with path.open("rb") as file:
        start = max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0)
        file.seek(start)
        data = file.read()
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    return lines[1:] if start else lines


def _ended(lines: Iterable[bytes]) -> Iterable[tuple[uuid.UUID, float]]:
    """Yield the ids of requests that are over, and when they ended, in their order."""
    for line in lines:
        value = decode(line)
        if value is None or value.get("kind") not in _ENDS:
            continue
        id_ = uuid.UUID(value["id"])
        yield id_, _arrived_s(id_) + _duration_s(value)


def _arrived_s(id_: uuid.UUID) -> float:
    return (id_.int >> _MS_BITS) / 1000


def _duration_s(value: dict[str, Any]) -> float:
    return float(value.get("duration_ms") or 0) / 1000


def _without_rows(ended: list[tuple[uuid.UUID, float]]) -> list[float]:
    """Return when those ended that were not stored: a file is stored in its order."""
    ids = [id_ for id_, _ in ended]
    rows = UsageRecord.objects.filter(pk__in=ids).order_by()
    known = set(rows.values_list("pk", flat=True))
    waiting = []
    for id_, ended_at in reversed(ended):
        if id_ in known:
            break
        waiting.append(ended_at)
    return waiting
