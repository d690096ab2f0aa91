"""The reports of scans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django_prometheus.models import ExportModelOperationsMixin

if TYPE_CHECKING:

    class _CountedScanRun: ...

else:
    # Without types: a base of type Any would hide wrong names of attributes.
    _CountedScanRun = ExportModelOperationsMixin("scan_run")


class ScanRun(_CountedScanRun, models.Model):
    """One scan and its result."""

    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    roots = models.JSONField(default=list)
    new = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    missing = models.PositiveIntegerField(default=0)
    unreadable = models.PositiveIntegerField(default=0)
    entries = models.JSONField(
        default=list,
        blank=True,
        help_text="New, changed, missing and unreadable models, with reasons.",
    )

    class Meta:
        verbose_name = "scan"
        ordering = ["-started_at"]
        get_latest_by = "started_at"

    def __str__(self) -> str:
        return f"Scan of {self.started_at:%Y-%m-%d %H:%M:%S} UTC"

    def counts(self) -> dict[str, Any]:
        """Return the number of files by outcome."""
        return {
            "new": self.new,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "missing": self.missing,
            "unreadable": self.unreadable,
        }
