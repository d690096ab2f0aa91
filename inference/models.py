"""Nodes and workers: what should run, and what runs now.

A worker row holds the desired and the actual state (docs/adr/0004). Web processes and
the admin set ``is_desired``, the node that claimed the row sets everything else. A node
reads the rows every second, so a command is never lost.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any, TypedDict

from django.db import models
from django.utils import timezone

from accounts.models import UsageRecord
from inference.capacity.machine import Gpu, Machine, remote_gpus
from llm_manager.lib.clocks.database_clock import HEARTBEAT_EXPIRES, database_now

if TYPE_CHECKING:
    from collections.abc import Collection


class EngineNodeQuerySet(models.QuerySet["EngineNode"]):
    def alive(self) -> EngineNodeQuerySet:
        """Return the nodes with a recent heartbeat."""
        return self.filter(heartbeat_at__gt=database_now() - HEARTBEAT_EXPIRES)

    def open(self) -> EngineNodeQuerySet:
        """Return those of them that take workers: that are not drained."""
        return self.alive().exclude(name__in=NodeDrain.objects.values("node_name"))


class NodeDrain(models.Model):
    """An administrator's order that a node has no workers, until it is taken back.

    It has the node's name: the node's row goes when its engine process ends.
    """

    node_name = models.CharField(max_length=255, unique=True)
    is_now = models.BooleanField(
        default=False,
        help_text="Also what no other node can take, without finishing requests.",
    )
    by = models.CharField(max_length=255, blank=True, help_text="Who ordered it.")
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.node_name} is drained"


class EngineNode(models.Model):
    """A machine with its engine process."""

    name = models.CharField(max_length=255, unique=True, help_text="The host name.")
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
    programs = models.JSONField(
        default=dict, help_text="Versions of Python and of its llama-cpp-python."
    )
    labels = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        help_text="What models may ask of a machine: gpu, zone=a.",
    )
    disks = models.JSONField(
        default=list, help_text="The data and models directories there, in bytes."
    )
    clock_offset_s = models.FloatField(
        default=0, help_text="How far its clock is ahead of the database's, in seconds."
    )
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    redis_heard_at = models.DateTimeField(
        null=True, help_text="When it last heard itself over Redis."
    )
    files_seen_at = models.DateTimeField(
        null=True, help_text="When it last looked which model files it has."
    )
    files_address = models.CharField(
        max_length=260,
        default="",
        db_default="",
        help_text="Where it sends its model files to other nodes. Empty: nowhere.",
    )
    pulls_from = models.CharField(
        max_length=8,
        default="off",
        db_default="off",
        help_text="Where it may fetch models: nodes, hub, both, off.",
    )

    objects = EngineNodeQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_alive(self) -> bool:
        """Whether its heartbeat is recent."""
        return self.heartbeat_at > database_now() - HEARTBEAT_EXPIRES

    @property
    def hears_redis(self) -> bool:
        """Whether it has heard itself over Redis about as recently as it has beaten."""
        heard_at = self.redis_heard_at
        return heard_at is None or self.heartbeat_at - heard_at < HEARTBEAT_EXPIRES

    @property
    def reports_files(self) -> bool:
        """Whether its copies are known: older versions do not say what they have."""
        return self.files_seen_at is not None and self.files_seen_at >= self.started_at

    @property
    def machine(self) -> Machine:
        """Its GPUs, and what its processor repacks."""
        return Machine.from_json(self.hardware) if self.hardware else Machine()

    @property
    def hardware_facts(self) -> dict[str, Any]:
        """What identifies such a machine, as context tests note it."""
        return self.machine.hardware(
            cpu_count=self.cpu_count, memory_total=self.memory_total
        )

    def lent_by(self, servers: Collection[str]) -> tuple[Gpu, ...]:
        """Return the devices of these RPC servers, as the node last saw them."""
        if not servers:
            return ()
        rows = {row.address: row for row in self.rpc_servers.all()}
        return tuple(
            gpu for each in servers if each in rows for gpu in rows[each].offers
        )

    @property
    def limits(self) -> tuple[int, ...]:
        """Bytes that models may take by device, the host first."""
        return (self.memory_limit, *(gpu.limit for gpu in self.machine.gpus))


class RpcServer(models.Model):
    """How a node finds one of the RPC servers of the configuration."""

    node = models.ForeignKey(
        EngineNode, on_delete=models.CASCADE, related_name="rpc_servers"
    )
    address = models.CharField(max_length=260)
    devices = models.JSONField(
        default=list, help_text="What it lends, as it last said: bytes by device."
    )
    holder = models.CharField(
        max_length=600, blank=True, help_text="The model that it serves now."
    )
    error = models.TextField(blank=True, help_text="Why it cannot be used.")

    class Meta:
        ordering = ["address"]
        constraints = [
            models.UniqueConstraint(
                fields=["node", "address"], name="inference_rpc_server_once"
            )
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def offers(self) -> tuple[Gpu, ...]:
        """Its devices, as capacity counts them."""
        return remote_gpus(self.address, self.devices)


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


class RunningRequest(UsageRecord):
    """A request that runs or waits, for the rights of its page; it has no row yet."""

    class Meta:
        proxy = True
        default_permissions = ("view", "cancel")
        verbose_name = "running request"


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
