"""What has happened to models: loads, changes of replicas, evictions."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class ModelLoad(models.Model):
    """One load of a model: who asked for it, with which settings, how it ended."""

    class Result(models.TextChoices):
        """``stopped``: it was unloaded before it was ready. ``interrupted``: its node
        ended meanwhile.
        """

        LOADING = "loading", "Loading"
        LOADED = "loaded", "Loaded"
        FAILED = "failed", "Failed"
        STOPPED = "stopped", "Stopped"
        INTERRUPTED = "interrupted", "Interrupted"

    model = models.ForeignKey(
        "registry.Model", on_delete=models.CASCADE, related_name="loads"
    )
    replica = models.PositiveIntegerField(default=0)
    node_name = models.CharField(max_length=255, blank=True)
    incarnation = models.CharField(max_length=32, blank=True, db_index=True)
    requested_by = models.CharField(max_length=255, blank=True)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    seconds = models.FloatField(null=True, help_text="Until it was ready.")
    settings = models.JSONField(
        default=dict, help_text="The load settings that were in force."
    )
    n_ctx = models.PositiveIntegerField(null=True)
    n_seq_max = models.PositiveIntegerField(null=True)
    memory_estimate = models.BigIntegerField(default=0, help_text="Bytes.")
    result = models.CharField(
        max_length=16, choices=Result.choices, default=Result.LOADING
    )
    error = models.TextField(blank=True, help_text="Why it failed.")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.model}: {self.get_result_display()}"


class ScalingEvent(models.Model):
    """A change of a model's number of replicas by autoscaling, and why."""

    model = models.ForeignKey(
        "registry.Model", on_delete=models.CASCADE, related_name="scaling_events"
    )
    at = models.DateTimeField(default=timezone.now)
    replicas_before = models.PositiveIntegerField()
    replicas_after = models.PositiveIntegerField()
    reason = models.CharField(max_length=255)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.model}: {self.replicas_before} to {self.replicas_after} replicas"


class EvictionRecord(models.Model):
    """A worker that was unloaded to make room for another model.

    It has names, not keys: it outlives both models and the node.
    """

    model_name = models.CharField(max_length=255)
    for_name = models.CharField(max_length=255, help_text="The model that needed room.")
    node_name = models.CharField(max_length=255)
    memory_bytes = models.BigIntegerField(default=0)
    at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.model_name} for {self.for_name}"
