"""Copies of models: which node has which model files, as each node reports its own."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import models

from llm_manager.lib.clocks.database_clock import HEARTBEAT_EXPIRES, database_now

if TYPE_CHECKING:
    from registry.models.model import Model


class ModelCopyQuerySet(models.QuerySet["ModelCopy"]):
    def here(self) -> ModelCopyQuerySet:
        """Return those of this machine."""
        return self.filter(node__name=platform.node())

    def elsewhere(self) -> ModelCopyQuerySet:
        """Return those of other machines with a recent heartbeat."""
        alive = self.filter(node__heartbeat_at__gt=database_now() - HEARTBEAT_EXPIRES)
        return alive.exclude(node__name=platform.node())

    def apart_from(self, model: Model) -> ModelCopyQuerySet:
        """Return the copies of a model that other machines have.

        One at the model's path and of its time is in a directory that machines share.
        """
        copies = self.filter(fingerprint=model.fingerprint)
        others = copies.exclude(node__name=platform.node())
        return others.exclude(path=model.path, mtime_ns=model.mtime_ns)


class ModelCopy(models.Model):
    """A GGUF file, or a set of shards, on one node. Models are found by fingerprint."""

    node = models.ForeignKey(
        "inference.EngineNode", on_delete=models.CASCADE, related_name="copies"
    )
    path = models.CharField(max_length=1024, help_text="The file, or the first shard.")
    shards = models.JSONField(
        default=list, blank=True, help_text="Paths of all shards, in order."
    )
    place = models.CharField(
        max_length=1024,
        blank=True,
        help_text="Its path below the models directory. Empty: it is outside.",
    )
    size = models.BigIntegerField(help_text="Bytes, all shards.")
    mtime_ns = models.BigIntegerField(help_text="Modification time, ns.")
    fingerprint = models.CharField(max_length=64, db_index=True)

    objects = ModelCopyQuerySet.as_manager()

    class Meta:
        ordering = ["path"]
        verbose_name_plural = "model copies"
        constraints = [
            models.UniqueConstraint(fields=["node", "path"], name="registry_copy_once")
        ]

    def __str__(self) -> str:
        return self.place or self.path

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file, first shard first."""
        return tuple(self.shards) or (self.path,)

    @property
    def file_name(self) -> str:
        """The name of the file, or of the first shard."""
        return Path(self.path).name
