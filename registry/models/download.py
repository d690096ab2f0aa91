"""Models that come from a hub or an address: what is fetched, and how far it is."""

from __future__ import annotations

import platform
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import models
from django.utils import timezone

if TYPE_CHECKING:
    from registry.hub.placing import DownloadFile

#: A download that runs says so every second; after this time nobody runs it.
_SILENT_AFTER = timedelta(seconds=30)


class DownloadQuerySet(models.QuerySet["Download"]):
    def open(self) -> DownloadQuerySet:
        """Return those that wait or run, the oldest first."""
        return self.filter(state__in=_OPEN).order_by("requested_at", "pk")

    def requested(self) -> DownloadQuerySet:
        """Return those that this host may begin, the oldest first."""
        mine = models.Q(state=Download.State.ASSIGNED, node=platform.node())
        found = self.filter(mine | models.Q(state=Download.State.REQUESTED))
        return found.order_by("requested_at", "pk")

    def cut_off(self) -> DownloadQuerySet:
        """Return those that run on this host, as far as their rows know."""
        return self.filter(state=Download.State.RUNNING, node=platform.node())

    def that_go_on(self) -> DownloadQuerySet:
        """Return those that need what has come of them: open or failed ones."""
        return self.exclude(state__in=(Download.State.DONE, Download.State.CANCELLED))

    def wait_for_engines(self) -> bool:
        """Return whether this host has one to begin or to go on with."""
        return self.requested().exists() or self.cut_off().exists()


class Download(models.Model):
    """One model that is fetched, with its shards and its projector.

    A pull is one of a known model, to one node: what this node lacks.
    """

    class State(models.TextChoices):
        """``failed`` ones can be tried again, and go on with what is here.

        ``assigned``: for one node. Older versions do not know it, and leave it alone.
        """

        REQUESTED = "requested", "Waiting"
        ASSIGNED = "assigned", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    source = models.CharField(
        max_length=1200, help_text="The repository and the file, or the address."
    )
    repo = models.CharField("repository", max_length=255, blank=True)
    commit = models.CharField(
        max_length=64, blank=True, help_text="The revision of the repository."
    )
    files = models.JSONField(default=list, blank=True)
    fingerprint = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="Of a pull: that of the model which its node lacks.",
    )

    requested_by = models.CharField(max_length=255, blank=True)
    requested_at = models.DateTimeField(default=timezone.now)
    is_cancelled = models.BooleanField(default=False)

    state = models.CharField(
        max_length=16, choices=State.choices, default=State.REQUESTED, db_index=True
    )
    node = models.CharField(max_length=255, blank=True, help_text="Where it runs.")
    bytes_total = models.BigIntegerField(
        null=True, blank=True, help_text="Of all files; empty: not known yet."
    )
    bytes_done = models.BigIntegerField(default=0)
    speed = models.FloatField(default=0, help_text="Bytes a second, lately.")
    error = models.TextField(blank=True, help_text="Why it failed.")
    became = models.JSONField(
        default=list, blank=True, help_text="The ids of the models that it became."
    )
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(
        null=True, blank=True, help_text="When the process that runs it last said so."
    )

    objects = DownloadQuerySet.as_manager()

    class Meta:
        ordering = ["-requested_at", "-pk"]

    def __str__(self) -> str:
        return self.source

    @property
    def waiting_state(self) -> Download.State:
        """Its state while it waits for a host to run it."""
        return self.State.ASSIGNED if self.fingerprint else self.State.REQUESTED

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in _OPEN

    @property
    def is_silent(self) -> bool:
        """Whether it should run and nobody says that it does."""
        since = self.seen_at or self.started_at
        return (
            self.state == self.State.RUNNING
            and since is not None
            and timezone.now() - since > _SILENT_AFTER
        )

    @property
    def share(self) -> float | None:
        """How much of it is here, 0 to 1; None if that is not known."""
        if self.state == self.State.DONE:
            return 1.0
        if not self.bytes_total:
            return None
        return min(self.bytes_done / self.bytes_total, 1.0)

    @property
    def seconds_left(self) -> float | None:
        """How long it still takes at the speed it has; None if that is not known."""
        if self.state != self.State.RUNNING or not self.bytes_total or not self.speed:
            return None
        return max(self.bytes_total - self.bytes_done, 0) / self.speed

    def wanted(self) -> list[DownloadFile]:
        """Return its files."""
        found: list[DownloadFile] = self.files
        return found


_OPEN = (
    Download.State.REQUESTED,
    Download.State.ASSIGNED,
    Download.State.RUNNING,
)
