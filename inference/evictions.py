"""Which models were unloaded to make room for others: for people to see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Count, Max
from django.utils import timezone

from inference.models import EvictionRecord, Worker

if TYPE_CHECKING:
    from datetime import datetime

    from inference.models import EngineNode

#: Longer than anybody looks back.
_KEPT = timedelta(days=30)
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class EvictionCount:
    """How often one model made room for another, and when it last did."""

    model_name: str
    for_name: str
    times: int
    last_at: datetime


def eviction_note(row_id: int, *, wanted_by: Worker, node: EngineNode) -> None:
    """Write down that a worker makes room for another one."""
    for worker in Worker.objects.filter(pk=row_id).select_related("model"):
        EvictionRecord.objects.create(
            model_name=worker.model.name,
            for_name=wanted_by.model.name,
            node_name=node.name,
            memory_bytes=worker.memory_bytes or worker.memory_estimate,
            at=timezone.now(),
        )


def evictions_since(time: datetime, *, most: int) -> list[EvictionCount]:
    """Return the pairs of models, the most frequent ones first. One query."""
    rows = (
        EvictionRecord.objects.filter(at__gte=time)
        .order_by()
        .values("model_name", "for_name")
        .annotate(times=Count("pk"), last_at=Max("at"))
        .order_by("-times", "model_name", "for_name")[:most]
    )
    return [EvictionCount(**row) for row in rows]


def evictions_prune() -> int:
    """Delete a batch of those that are older than 30 days; return their number."""
    old = EvictionRecord.objects.filter(at__lt=timezone.now() - _KEPT)
    return EvictionRecord.objects.filter(
        pk__in=list(old.values_list("pk", flat=True)[:_BATCH])
    ).delete()[0]
