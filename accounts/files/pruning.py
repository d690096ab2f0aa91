"""Deletes files and batches that have expired, and contents that nobody has."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from accounts.files.folder import all_contents, content_delete
from accounts.models import Batch, StoredFile

if TYPE_CHECKING:
    from pathlib import Path

#: Rows of one transaction: others write meanwhile.
BATCH = 100
#: A content without a row may be that of an upload, or of a batch that runs.
_ORPHAN_AFTER_S = 2 * 86_400


def files_prune() -> int:
    """Delete some of what has expired; return how much that was.

    A file of a batch that has not ended stays.
    """
    now = timezone.now()
    used = Batch.objects.filter(status__in=Batch.OPEN).values("input_file_id")
    expired = StoredFile.objects.filter(expires_at__lte=now).exclude(pk__in=used)
    ids = list(expired.order_by("expires_at").values_list("pk", flat=True)[:BATCH])
    StoredFile.objects.filter(pk__in=ids).delete()
    for id_ in ids:
        content_delete(id_)
    since = now - timedelta(days=settings.CONFIG.files.retention_days)
    ended = Batch.objects.filter(created_at__lte=since).exclude(status__in=Batch.OPEN)
    old = list(ended.order_by("created_at").values_list("pk", flat=True)[:BATCH])
    Batch.objects.filter(pk__in=old).delete()
    return len(ids) + len(old) + _orphans_delete()


def _orphans_delete() -> int:
    """Delete old contents that no row has: of uploads that a dead process began."""
    before = time.time() - _ORPHAN_AFTER_S
    old = [each for each in all_contents() if _written_at(each) < before]
    # A batch that ends meanwhile is in one of the two: its results become files.
    open_batches = Batch.objects.filter(status__in=Batch.OPEN)
    pairs = open_batches.values_list("output_id", "error_id")
    known = {id_ for pair in pairs for id_ in pair}
    known.update(StoredFile.objects.values_list("pk", flat=True).iterator())
    lost = [each for each in old if each.name not in known][:BATCH]
    for each in lost:
        each.unlink(missing_ok=True)
    return len(lost)


def _written_at(path: Path) -> float:
    """Return when a file was written last; never, if another process deletes it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf
