"""Nodes: machines with an engine process, and administrators' orders for them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils import timezone

from inference.capacity.machine import Gpu, Machine, remote_gpus
from llm_manager.lib.clocks.database_clock import HEARTBEAT_EXPIRES, database_now

if TYPE_CHECKING:
    from collections.abc import Collection

_GONE_AFTER = timedelta(days=1)


class EngineNodeQuerySet(models.QuerySet["EngineNode"]):
    def alive(self) -> EngineNodeQuerySet:
        """Return the nodes with a recent heartbeat."""
        return self.filter(heartbeat_at__gt=database_now() - HEARTBEAT_EXPIRES)

    def gone(self) -> EngineNodeQuerySet:
        """Return those that have been silent for a day."""
        return self.filter(heartbeat_at__lt=database_now() - _GONE_AFTER)

    def open(self) -> EngineNodeQuerySet:
        """Return those of them that take workers: alive, and not drained."""
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
    pull_mb_per_s = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="MiB a second that its pulls may take together; 0: no limit.",
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
