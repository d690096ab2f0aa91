"""Batches: files of requests that are answered when there is time."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone


class Batch(models.Model):
    """A batch of an owner, and who works on it.

    The columns of times are named by the members of OpenAI's object. ``output_id`` and
    ``error_id`` are the ids of the files that it writes, which exist as rows once it
    has ended and they are not empty. Until ``claimed_until`` the web process
    ``claimed_by`` works on it. ``model_name`` is empty where lines name several.
    """

    class Status(models.TextChoices):
        """OpenAI's states of a batch."""

        VALIDATING = "validating"
        FAILED = "failed"
        IN_PROGRESS = "in_progress"
        FINALIZING = "finalizing"
        COMPLETED = "completed"
        EXPIRED = "expired"
        CANCELLING = "cancelling"
        CANCELLED = "cancelled"

    #: The states of a batch that somebody has to work on.
    OPEN: ClassVar[tuple[str, ...]] = (
        Status.VALIDATING,
        Status.IN_PROGRESS,
        Status.FINALIZING,
        Status.CANCELLING,
    )
    #: The states that a cancellation changes.
    CANCELLABLE: ClassVar[tuple[str, ...]] = (Status.VALIDATING, Status.IN_PROGRESS)

    id = models.CharField(max_length=64, primary_key=True)
    owner_id = models.BigIntegerField(default=0)
    key_id = models.BigIntegerField(default=0)
    client_address = models.CharField(max_length=45, blank=True)
    endpoint = models.CharField(max_length=64)
    model_name = models.CharField(max_length=255, blank=True)
    input_file_id = models.CharField(max_length=64)
    output_id = models.CharField(max_length=64)
    error_id = models.CharField(max_length=64)
    output_seconds = models.PositiveIntegerField(null=True)
    metadata = models.JSONField(default=dict)
    status = models.CharField(
        max_length=16, choices=Status.choices, default=Status.VALIDATING
    )
    errors = models.JSONField(default=list)
    total = models.PositiveIntegerField(default=0)
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    usage = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    in_progress_at = models.DateTimeField(null=True)
    finalizing_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    expired_at = models.DateTimeField(null=True)
    cancelling_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    claimed_by = models.CharField(max_length=64, blank=True)
    claimed_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ("view", "cancel")
        ordering = ["-id"]
        verbose_name_plural = "batches"
        indexes = [
            models.Index(fields=["owner_id", "id"], name="batch_owner"),
            # They are few, and web processes look for them all the time.
            models.Index(
                fields=["claimed_until"],
                name="batch_open",
                condition=models.Q(
                    status__in=["validating", "in_progress", "finalizing", "cancelling"]
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status in self.OPEN

    @property
    def may_cancel(self) -> bool:
        """Whether a cancellation changes something."""
        return self.status in self.CANCELLABLE

    @property
    def done(self) -> int:
        """How many of its lines have a result."""
        return self.completed + self.failed
