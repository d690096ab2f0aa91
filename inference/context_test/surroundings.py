"""What else this machine does while a context is measured. Serving goes first."""

from __future__ import annotations

import asyncio
import fcntl
import platform
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
from django.conf import settings

from inference.capacity.model_rows import memory_limit
from inference.models import EngineNode, Worker, WorkerState
from inference.node.machine_probe import machine_probe
from llm_manager.lib.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.capacity.machine import Machine
    from inference.context_test.recommendation import Memory

_IN_MEMORY = (WorkerState.LOADING, WorkerState.READY, WorkerState.DRAINING)


class OtherTestsRun(Exception):
    """Another process tests contexts on this machine."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A machine and what models may take of it, by device, the host first."""

    host: str
    machine: Machine
    limits: Memory
    hardware: dict[str, Any]

    def free(self) -> Memory:
        """Return the bytes that are left beside what is loaded, by device."""
        left = list(self.limits)
        for worker in _workers(self.host):
            for device, taken in enumerate(worker.device_memory[: len(left)]):
                left[device] -= taken
        left[0] = min(left[0], psutil.virtual_memory().available)
        return tuple(left)

    def is_loading(self) -> bool:
        """Return whether a model is being loaded that needs the memory of a test.

        What a GPU has left cannot be known at that moment, so there each load does.
        """
        loading = [w for w in _workers(self.host) if w.state == WorkerState.LOADING]
        if not loading:
            return False
        needed = sum(
            worker.device_memory[0] for worker in loading if worker.device_memory
        )
        return bool(self.machine.gpus) or needed > psutil.virtual_memory().available

    def serves_requests(self) -> bool:
        """Return whether requests run on this machine now."""
        return any(worker.running for worker in _workers(self.host))


def surroundings_now() -> Surroundings:
    """Return this machine: as its engine process knows it, if there is one."""
    memory_total = psutil.virtual_memory().total
    node = EngineNode.objects.alive().filter(name=platform.node()).first()
    machine = node.machine if node else asyncio.run(machine_probe())
    hardware = machine.hardware(
        cpu_count=psutil.cpu_count() or 0, memory_total=memory_total
    )
    host_limit = node.memory_limit if node else memory_limit(memory_total)
    limits = (host_limit, *(gpu.limit for gpu in machine.gpus))
    return Surroundings(platform.node(), machine, limits, hardware)


@contextmanager
def only_tests_here() -> Iterator[None]:
    """Hold this machine's lock for tests. Raises OtherTestsRun.

    The system gives it back when the process ends, however it ends.
    """
    path = settings.DATA_DIR / f"context-test-{platform.node()}.lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OtherTestsRun(
                "Another process tests contexts on this machine. Wait until it has "
                "finished, or cancel it."
            ) from None
        yield


def shortage(needed: Memory, free: Memory) -> str:
    """Return what is missing, "" if it fits: ``it needs 8 GiB, and 5 GiB is free``."""
    for device, (one, other) in enumerate(zip(needed, free, strict=True)):
        if one > other:
            where = f" on GPU {device - 1}" if device else ""
            return (
                f"it needs {human_bytes(one)}{where}, and {human_bytes(max(other, 0))} "
                "is free"
            )
    return ""


def _workers(host: str) -> list[Worker]:
    workers = Worker.objects.filter(node__name=host, state__in=_IN_MEMORY)
    return list(workers.only("state", "device_memory", "running"))
