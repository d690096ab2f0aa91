"""Measurements of models' speed: asked for, running, kept."""

from __future__ import annotations

import platform

from django.db import models
from django.utils import timezone


class BenchmarkQuerySet(models.QuerySet["Benchmark"]):
    def open(self) -> BenchmarkQuerySet:
        """Return those that were requested or run."""
        return self.filter(state__in=(_REQUESTED, _RUNNING))

    def cut_off(self) -> BenchmarkQuerySet:
        """Return those that run on this host, as far as their rows know."""
        return self.filter(state=_RUNNING, node=platform.node())

    def wait_for_engines(self) -> bool:
        """Return whether this host has one to run, or to settle one cut off."""
        return self.filter(state=_REQUESTED).exists() or self.cut_off().exists()


class Benchmark(models.Model):
    """A model's speed through its workers: asked for, measured, and kept.

    ``results`` is a ``BenchmarkResult`` as JSON. ``node`` is the host that runs it,
    then the one whose worker has answered.
    """

    class State(models.TextChoices):
        """The stages in the life of a benchmark."""

        REQUESTED = "requested", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    model = models.ForeignKey(
        "registry.Model", on_delete=models.CASCADE, related_name="benchmarks"
    )
    requested_by = models.CharField(max_length=255, blank=True)
    requested_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    state = models.CharField(
        max_length=16, choices=State.choices, default=State.REQUESTED, db_index=True
    )
    is_cancelled = models.BooleanField(default=False)
    reason = models.TextField(blank=True, help_text="Why it has no results.")
    progress = models.FloatField(default=0, help_text="0 to 1.")
    doing = models.CharField(max_length=255, blank=True)
    node = models.CharField(max_length=255, blank=True)
    settings = models.JSONField(
        default=dict, help_text="The load settings that were in force."
    )
    n_ctx = models.PositiveIntegerField(null=True)
    n_seq_max = models.PositiveIntegerField(null=True)
    replicas = models.PositiveIntegerField(default=1)
    results = models.JSONField(default=dict)

    objects = BenchmarkQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.model}: {self.get_state_display()}"

    @property
    def is_open(self) -> bool:
        """Whether it was requested or runs."""
        return self.state in (_REQUESTED, _RUNNING)


_REQUESTED, _RUNNING = Benchmark.State.REQUESTED, Benchmark.State.RUNNING
