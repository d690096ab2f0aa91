"""Reads and changes the rows of batches."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.errors import TooManyBatches
from accounts.files.folder import content_path
from accounts.files.services import file_expiry, new_file_id
from accounts.models import Batch, StoredFile
from accounts.record_id import new_id
from llm_manager.lib.clocks.database_clock import database_now
from llm_manager.lib.quoting import storable

if TYPE_CHECKING:
    from inference.api.batches.request import BatchRequest
    from inference.api.batches.results import BatchResults

#: How long a claim lasts that nobody renews.
CLAIM = timedelta(seconds=6)
#: The columns of the times at which states began.
_TIMES = {
    Batch.Status.IN_PROGRESS: "in_progress_at",
    Batch.Status.FINALIZING: "finalizing_at",
    Batch.Status.COMPLETED: "completed_at",
    Batch.Status.FAILED: "failed_at",
    Batch.Status.EXPIRED: "expired_at",
    Batch.Status.CANCELLED: "cancelled_at",
}


@transaction.atomic
def batch_create(
    body: BatchRequest, *, owner_id: int, key_id: int, client_address: str
) -> Batch:
    """Add a batch that nobody works on yet. Raises TooManyBatches."""
    most: int = settings.CONFIG.batches.max_open
    mine = Batch.objects.filter(owner_id=owner_id, status__in=Batch.OPEN)
    if mine.count() >= most:
        raise TooManyBatches(most)
    expiry = body.output_expires_after
    return Batch.objects.create(
        pk=f"batch_{new_id(time.time()).hex}",
        owner_id=owner_id,
        key_id=key_id,
        client_address=client_address,
        endpoint=body.endpoint,
        input_file_id=body.input_file_id,
        output_id=new_file_id(),
        error_id=new_file_id(),
        output_seconds=None if expiry is None else expiry.seconds,
        metadata=storable(body.metadata),
        expires_at=timezone.now()
        + timedelta(hours=settings.CONFIG.batches.window_hours),
    )


def batch_cancel(row: Batch) -> bool:
    """Ask for the end of a batch; return whether that changes anything."""
    return bool(
        Batch.objects.filter(pk=row.pk, status__in=Batch.CANCELLABLE).update(
            status=Batch.Status.CANCELLING, cancelling_at=timezone.now()
        )
    )


# Claims ---------------------------------------------------------------------


def unclaimed(limit: int) -> list[str]:
    """Return batches that nobody works on, those first that have waited longest."""
    late = Q(claimed_until=None) | Q(claimed_until__lt=database_now())
    rows = Batch.objects.filter(late, status__in=Batch.OPEN)
    oldest = rows.order_by(F("claimed_until").asc(nulls_first=True), "pk")
    return list(oldest.values_list("pk", flat=True)[:limit])


def claim(id_: str, name: str) -> Batch | None:
    """Claim a batch; None if somebody else works on it, or nobody need to."""
    now = database_now()
    is_free = Q(claimed_until=None) | Q(claimed_until__lt=now) | Q(claimed_by=name)
    claimed = Batch.objects.filter(is_free, pk=id_, status__in=Batch.OPEN).update(
        claimed_by=name, claimed_until=now + CLAIM
    )
    return Batch.objects.get(pk=id_) if claimed else None


def renew(id_: str, name: str, counts: dict[str, Any]) -> str:
    """Renew a claim and note how far the batch is; return its state.

    "" is that of a batch that somebody else works on, or nobody.
    """
    mine = Batch.objects.filter(pk=id_, claimed_by=name, status__in=Batch.OPEN)
    if not mine.update(claimed_until=database_now() + CLAIM, **counts):
        return ""
    return mine.values_list("status", flat=True).first() or ""


def release(id_: str, name: str) -> None:
    """Give a claim up, so that another process may go on at once."""
    Batch.objects.filter(pk=id_, claimed_by=name).update(
        claimed_until=None, claimed_by=""
    )


# States ---------------------------------------------------------------------


def advance(row: Batch, status: Batch.Status, **fields: Any) -> bool:
    """Bring a batch from its state to the next; False if it has left it meanwhile."""
    mine = Batch.objects.filter(pk=row.pk, claimed_by=row.claimed_by, status=row.status)
    changes = {"status": status, _TIMES[status]: timezone.now(), **fields}
    if not mine.update(**changes):
        return False
    for name, value in changes.items():
        setattr(row, name, value)
    return True


def counts_of(results: BatchResults) -> dict[str, Any]:
    """Return the columns that say how far a batch is."""
    return {
        "completed": results.completed,
        "failed": results.failed,
        "usage": results.usage.object(),
    }


@transaction.atomic
def finish(row: Batch, status: Batch.Status, results: BatchResults) -> bool:
    """End a batch and give its owner the files that are not empty."""
    if not advance(row, status, **counts_of(results)):
        return False
    for id_, kind in ((row.output_id, "output"), (row.error_id, "error")):
        path = content_path(id_)
        size = path.stat().st_size
        if not size:
            path.unlink()
            continue
        StoredFile.objects.create(
            pk=id_,
            owner_id=row.owner_id,
            filename=f"{row.pk}_{kind}.jsonl",
            purpose=StoredFile.BATCH_OUTPUT,
            bytes=size,
            expires_at=file_expiry(row.output_seconds),
        )
    return True
