"""Live state of the engines: which machines, which workers, what they do now.

A worker row is the wish and the fact in one place. ``wanted`` is set by the web
processes and the admin, everything else by the engine that has claimed the row.
An engine that missed a message still sees the row, so no command can be lost.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils import timezone

from inference.capacity.machine import Machine

#: A heartbeat older than this belongs to a process that is gone.
HEARTBEAT_EXPIRES = timedelta(seconds=10)


class EngineNodeQuerySet(models.QuerySet["EngineNode"]):
    def alive(self) -> EngineNodeQuerySet:
        """Return the nodes whose engine beats."""
        return self.filter(heartbeat_at__gt=timezone.now() - HEARTBEAT_EXPIRES)


class EngineNode(models.Model):
    """One machine that runs an engine."""

    name = models.CharField(max_length=255, unique=True, help_text="The host's name.")
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=32)
    cpu_count = models.PositiveIntegerField(default=0)
    memory_total = models.BigIntegerField(default=0, help_text="Bytes.")
    memory_available = models.BigIntegerField(default=0, help_text="Bytes.")
    memory_limit = models.BigIntegerField(
        default=0, help_text="Bytes that loaded models may take."
    )
    max_models = models.PositiveIntegerField(default=1)
    hardware = models.JSONField(
        default=dict, help_text="What llama.cpp finds there: GPUs and their memory."
    )
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()

    objects = EngineNodeQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_alive(self) -> bool:
        """Whether its engine beats."""
        return self.heartbeat_at > timezone.now() - HEARTBEAT_EXPIRES

    @property
    def machine(self) -> Machine:
        """What it offers to models besides its memory."""
        return Machine.from_json(self.hardware) if self.hardware else Machine()

    @property
    def limits(self) -> tuple[int, ...]:
        """Bytes that models may take: of its memory, then of each GPU's."""
        return (self.memory_limit, *(gpu.limit for gpu in self.machine.gpus))


class WorkerState(models.TextChoices):
    """Where a worker is in its life."""

    REQUESTED = "requested", "Requested"
    LOADING = "loading", "Loading"
    READY = "ready", "Ready"
    DRAINING = "draining", "Draining"
    FAILED = "failed", "Failed"


class WorkerQuerySet(models.QuerySet["Worker"]):
    def in_service(self) -> WorkerQuerySet:
        """Return the workers that run requests now, those that drain among them."""
        return self.filter(
            state__in=(WorkerState.READY, WorkerState.DRAINING),
            node__heartbeat_at__gt=timezone.now() - HEARTBEAT_EXPIRES,
        )

    def serving(self) -> WorkerQuerySet:
        """Return the workers that take requests now."""
        return self.in_service().filter(state=WorkerState.READY)


class Worker(models.Model):
    """One loaded model, or one that is to be loaded or unloaded."""

    model = models.ForeignKey(
        "registry.Model", on_delete=models.CASCADE, related_name="workers"
    )
    replica = models.PositiveIntegerField(default=0)
    node = models.ForeignKey(
        EngineNode, null=True, on_delete=models.SET_NULL, related_name="workers"
    )
    wanted = models.BooleanField(
        default=True, help_text="Whether the model is to be loaded."
    )
    state = models.CharField(
        max_length=16, choices=WorkerState.choices, default=WorkerState.REQUESTED
    )
    incarnation = models.CharField(
        max_length=32, blank=True, help_text="Changes each time the process starts."
    )
    progress = models.FloatField(default=0, help_text="Of loading, 0 to 1.")
    error = models.TextField(
        blank=True, help_text="Why it failed, or what it waits for."
    )
    failed_at = models.DateTimeField(null=True)
    restarts = models.PositiveIntegerField(default=0)
    pid = models.PositiveIntegerField(null=True)
    load_seconds = models.FloatField(null=True)
    n_ctx = models.PositiveIntegerField(
        null=True, help_text="Tokens of one sequence, in force."
    )
    n_ctx_max = models.PositiveIntegerField(
        null=True, help_text="Tokens that one sequence may grow to."
    )
    n_seq_max = models.PositiveIntegerField(null=True, help_text="Sequences, in force.")
    kv_layout = models.CharField(max_length=8, blank=True)
    memory_bytes = models.BigIntegerField(default=0, help_text="Resident memory.")
    memory_estimate = models.BigIntegerField(
        default=0, help_text="Bytes reckoned before the load."
    )
    running = models.PositiveIntegerField(default=0)
    waiting = models.PositiveIntegerField(default=0)
    waiting_by_key = models.JSONField(
        default=list, help_text="What waits in the worker, the longest backlog first."
    )
    kv_cells_used = models.PositiveIntegerField(default=0)
    kv_cells_total = models.PositiveIntegerField(default=0)
    requests_total = models.BigIntegerField(default=0)
    prompt_tokens_total = models.BigIntegerField(default=0)
    output_tokens_total = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    requested_at = models.DateTimeField(
        default=timezone.now, help_text="Models are loaded in this order."
    )
    last_used_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["model__name", "replica"]
        constraints = [
            # One load however many requests wait: the database decides who asks.
            models.UniqueConstraint(
                fields=["model", "replica"], name="inference_worker_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model}" + (f" #{self.replica}" if self.replica else "")
