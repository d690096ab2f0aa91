"""Stores files, within what an owner may keep, and deletes them."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from accounts.errors import FileInUse, StorageFull
from accounts.files.folder import content_delete, content_path
from accounts.models import Batch, StoredFile
from accounts.record_id import new_id

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

#: What a file counts for besides its bytes: a block on disk, and its row.
_OVERHEAD = 4096
_MIB = 1024 * 1024


def new_file_id() -> str:
    """Return an id; later ones sort after earlier ones."""
    return f"file-{new_id(time.time()).hex}"


def file_room(owner_id: int) -> int:
    """Return how many bytes an owner may still store; none is left below 1."""
    kept = StoredFile.objects.filter(owner_id=owner_id).aggregate(
        bytes=Sum("bytes"), count=Count("pk")
    )
    quota: int = settings.CONFIG.files.quota_mb * _MIB
    overhead: int = _OVERHEAD * (kept["count"] + 1)
    return quota - (kept["bytes"] or 0) - overhead


@transaction.atomic
def file_add(
    content: Path,
    *,
    owner_id: int,
    filename: str,
    purpose: str,
    seconds: int | None = None,
) -> StoredFile:
    """Store a file that lies on disk; its content is moved. Raises StorageFull.

    The files of an owner are stored one after the other, or two that come at once could
    both find room. ``seconds`` are those that it is kept; the configuration's days are
    the most.
    """
    size = content.stat().st_size
    list(
        User.objects.select_for_update(no_key=True)
        .filter(pk=owner_id)
        .values_list("pk")
    )
    room = file_room(owner_id)
    if size > room:
        raise StorageFull(settings.CONFIG.files.quota_mb)
    row = StoredFile.objects.create(
        pk=new_file_id(),
        owner_id=owner_id,
        filename=filename,
        purpose=purpose,
        bytes=size,
        expires_at=file_expiry(seconds),
    )
    content.rename(content_path(row.pk))
    return row


def file_expiry(seconds: int | None) -> datetime:
    """Return when a file that is stored now expires."""
    most = timedelta(days=settings.CONFIG.files.retention_days)
    asked = most if seconds is None else timedelta(seconds=seconds)
    return timezone.now() + min(asked, most)


@transaction.atomic
def file_delete(row: StoredFile) -> None:
    """Delete a file, and its content once that is certain. Raises FileInUse."""
    used_by = Batch.objects.filter(input_file_id=row.pk, status__in=Batch.OPEN).first()
    if used_by is not None:
        raise FileInUse(row.pk, used_by.pk)
    id_ = row.pk
    row.delete()
    transaction.on_commit(partial(content_delete, id_))
