"""Workers: what should run, and what runs now.

A worker row holds the desired and the actual state (docs/adr/0004). Web processes and
the admin set ``is_desired``, the node that claimed the row sets everything else. A node
reads the rows again and again, so a command is never lost.
"""

from __future__ import annotations

from typing import TypedDict

from django.db import models
from django.utils import timezone

from inference.models.node import EngineNode
from llm_manager.lib.clocks.database_clock import HEARTBEAT_EXPIRES, database_now


class PendingOfKey(TypedDict):
    """The pending requests of one key, or of all other keys where ``key`` is None.

    ``position`` is the place, from 1, of the next one among all keys' requests;
    ``since`` is when the oldest came, in seconds since the epoch.
    """

    key: str | None
    count: int
    position: int
    since: float


class WorkerState(models.TextChoices):
    """The stages in the life of a worker."""

    REQUESTED = "requested", "Requested"
    LOADING = "loading", "Loading"
    READY = "ready", "Ready"
    DRAINING = "draining", "Draining"
    FAILED = "failed", "Failed"


_IN_SERVICE = (WorkerState.READY, WorkerState.DRAINING)


class StopOrder(models.Model):
    """What an administrator last ordered for the workers that a model has.

    It concerns the workers that were claimed before it, and the requests that came
    before it: a request that comes later may load the model again.
    """

    class Action(models.TextChoices):
        """Unloading and disabling end requests; reloading lets them continue."""

        UNLOAD = "unload", "unloaded"
        DISABLE = "disable", "disabled"
        RELOAD = "reload", "reloaded"

    model = models.OneToOneField(
        "registry.Model", on_delete=models.CASCADE, related_name="stop_order"
    )
    number = models.PositiveIntegerField(
        default=1, help_text="Counts the orders: a worker notes the last one it knew."
    )
    action = models.CharField(max_length=16, choices=Action.choices)
    is_now = models.BooleanField(
        default=False, help_text="Whether running requests are not finished first."
    )
    by = models.CharField(max_length=255, blank=True, help_text="Who ordered it.")
    at = models.DateTimeField()

    def __str__(self) -> str:
        who = f" by {self.by}" if self.by else ""
        return f"The model '{self.model}' was {self.Action(self.action).label}{who}"


class WorkerQuerySet(models.QuerySet["Worker"]):
    def in_service(self) -> WorkerQuerySet:
        """Return the workers that run requests now, also those that are draining."""
        return self.filter(
            state__in=_IN_SERVICE,
            node__heartbeat_at__gt=database_now() - HEARTBEAT_EXPIRES,
        )

    def serving(self) -> WorkerQuerySet:
        """Return the workers that take requests now."""
        return self.in_service().filter(state=WorkerState.READY)


class Worker(models.Model):
    """A worker process with one model: running, or to be started or stopped.

    The process itself is ``inference.worker``; this is its row.
    """

    model = models.ForeignKey(
        "registry.Model", on_delete=models.CASCADE, related_name="workers"
    )
    replica = models.PositiveIntegerField(default=0)
    node = models.ForeignKey(
        EngineNode, null=True, on_delete=models.SET_NULL, related_name="workers"
    )
    is_desired = models.BooleanField(
        default=True, help_text="Whether the worker should run."
    )
    state = models.CharField(
        max_length=16, choices=WorkerState.choices, default=WorkerState.REQUESTED
    )
    stop_number = models.PositiveIntegerField(
        default=0, help_text="The model's last stop order when it was claimed."
    )
    incarnation = models.CharField(
        max_length=32, blank=True, help_text="The id of one run of the process."
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
        null=True, help_text="Tokens of one sequence, now."
    )
    n_ctx_max = models.PositiveIntegerField(
        null=True, help_text="Tokens that one sequence may grow to."
    )
    n_seq_max = models.PositiveIntegerField(null=True, help_text="Sequences, now.")
    kv_layout = models.CharField(max_length=8, blank=True)
    memory_bytes = models.BigIntegerField(default=0, help_text="Resident memory.")
    memory_estimate = models.BigIntegerField(
        default=0, help_text="Bytes, estimated before the load."
    )
    device_memory = models.JSONField(
        default=list,
        help_text="Bytes that count against the node's limits by device, the host "
        "first.",
    )
    loaded_settings = models.JSONField(
        default=dict, help_text="The load settings that were in force at the load."
    )
    load_config = models.JSONField(
        default=dict,
        help_text="Settings that the load asked for, in place of the model's own.",
    )
    running = models.PositiveIntegerField(default=0)
    waiting = models.PositiveIntegerField(default=0)
    waiting_by_key = models.JSONField(
        default=list, help_text="Requests waiting in the worker by API key, most first."
    )
    oldest_wait_s = models.FloatField(
        default=0,
        db_default=0,
        help_text="Seconds that the oldest prepared request has waited to start.",
    )
    kv_cells_used = models.PositiveIntegerField(default=0)
    kv_cells_total = models.PositiveIntegerField(default=0)
    requests_total = models.BigIntegerField(
        default=0, help_text="Also of earlier loads, as the tokens."
    )
    prompt_tokens_total = models.BigIntegerField(default=0)
    output_tokens_total = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    requested_at = models.DateTimeField(
        default=timezone.now, help_text="Models are loaded in this order."
    )
    requested_by = models.CharField(max_length=255, blank=True)
    last_used_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["model__name", "replica"]
        constraints = [
            # However many requests wait, the database lets one of them add the row.
            models.UniqueConstraint(
                fields=["model", "replica"], name="inference_worker_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model}" + (f" #{self.replica}" if self.replica else "")

    @property
    def is_in_service(self) -> bool:
        """Whether it runs requests now, as ``in_service`` finds them."""
        return self.state in _IN_SERVICE and not self.is_silent

    @property
    def is_silent(self) -> bool:
        """Whether a node has it that does not report. Reads the node."""
        has_process = self.state in (*_IN_SERVICE, WorkerState.LOADING)
        return has_process and (self.node is None or not self.node.is_alive)

    @property
    def is_stopping(self) -> bool:
        """Whether a stop order came since it was claimed. Reads the model's order."""
        order: StopOrder | None = getattr(self.model, "stop_order", None)
        return order is not None and order.number > self.stop_number


class WorkerTotals(models.Model):
    """What the workers of a replica have served in all, whenever they were loaded."""

    model = models.ForeignKey(
        "registry.Model", on_delete=models.CASCADE, related_name="worker_totals"
    )
    replica = models.PositiveIntegerField(default=0)
    requests_total = models.BigIntegerField(default=0)
    prompt_tokens_total = models.BigIntegerField(default=0)
    output_tokens_total = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["model", "replica"], name="inference_totals_once"
            )
        ]

    def __str__(self) -> str:
        return f"Totals of {self.model} #{self.replica}"
