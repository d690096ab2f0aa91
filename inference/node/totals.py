"""What workers have served since their model was registered: totals survive a load."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from inference.models import WorkerTotals

if TYPE_CHECKING:
    from inference.worker.node_pipe import WorkerReport


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts, by the names of a report and of a worker's columns."""

    requests_total: int = 0
    prompt_tokens_total: int = 0
    output_tokens_total: int = 0

    def plus(self, report: WorkerReport) -> Totals:
        """Return the totals after what a worker reports since its load."""
        return Totals(
            self.requests_total + report.requests_total,
            self.prompt_tokens_total + report.prompt_tokens_total,
            self.output_tokens_total + report.output_tokens_total,
        )

    def columns(self) -> dict[str, int]:
        """Return them by the names of columns."""
        return asdict(self)


def totals_of(model_id: int, replica: int) -> Totals:
    """Return the totals of a replica's earlier workers."""
    rows = WorkerTotals.objects.filter(model_id=model_id, replica=replica)
    for row in rows.values(*Totals.__dataclass_fields__):
        return Totals(**row)
    return Totals()


def totals_save(model_id: int, replica: int, totals: Totals) -> None:
    """Write a replica's totals, unless its model was deleted."""
    with suppress(IntegrityError), transaction.atomic():
        WorkerTotals.objects.update_or_create(
            model_id=model_id, replica=replica, defaults=totals.columns()
        )
