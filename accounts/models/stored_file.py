"""Files that clients have uploaded, and that batches have written."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone


class StoredFile(models.Model):
    """A file of an owner; its content lies on disk under the row's id.

    ``owner_id`` is a user's; 0 is everybody without a key. Ids are in order of time.
    """

    BATCH: ClassVar[str] = "batch"
    BATCH_OUTPUT: ClassVar[str] = "batch_output"

    id = models.CharField(max_length=64, primary_key=True)
    owner_id = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    filename = models.CharField(max_length=255)
    purpose = models.CharField(max_length=32)
    bytes = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["owner_id", "id"], name="stored_file_owner")]

    def __str__(self) -> str:
        return self.filename
