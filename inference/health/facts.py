"""The state of every part, gathered once: for the admin, the API and the shell."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.conf import settings

from accounts.usage.backlog import JournalBacklog, journal_backlog
from accounts.usage.metrics import lines_lost
from inference.health.database_facts import DatabaseFacts, database_facts
from inference.health.redis_facts import RedisFacts, redis_facts
from inference.status import overview
from llm_manager.lib.machine.disks import disk_spaces
from llm_manager.lib.machine.programs import product_version, program_versions
from registry.models import Upstream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.status import Overview
    from llm_manager.lib.machine.disks import DiskSpace


@dataclass(frozen=True, slots=True)
class MachineDisk:
    """A disk of one machine."""

    machine: str
    space: DiskSpace

    @property
    def used(self) -> int:
        """Bytes in use."""
        return self.space["total"] - self.space["free"]


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """Every part at one moment, as one web process sees it.

    ``now`` is in seconds since the epoch. ``machine``, ``version`` and ``programs`` are
    the web process's. ``lines_lost`` are its lines of usage that nobody can store,
    ``upstream_faults`` what the last checks of upstreams found wrong.
    """

    now: float
    machine: str
    version: str
    programs: dict[str, str]
    overview: Overview
    database: DatabaseFacts
    redis: RedisFacts
    disks: list[MachineDisk]
    journal: JournalBacklog
    lines_lost: int
    upstream_faults: Mapping[str, str] = field(default_factory=dict)


def health_facts(seen: Overview | None = None) -> HealthFacts:
    """Ask every part; ``seen`` are its nodes and workers, if they were read already.

    Ten queries at most and three round trips to Redis. Raises DatabaseError.
    """
    seen = seen or overview()
    return HealthFacts(
        now=time.time(),
        machine=platform.node(),
        version=product_version(),
        programs=program_versions(),
        overview=seen,
        database=database_facts(),
        redis=redis_facts(),
        disks=_disks(seen),
        journal=journal_backlog(settings.CONFIG.usage_dir),
        lines_lost=lines_lost(),
        upstream_faults=_upstream_faults(),
    )


def _upstream_faults() -> dict[str, str]:
    faults = {
        each.name: each.fault or ("It fails requests." if each.pause else "")
        for each in Upstream.objects.filter(is_enabled=True)
    }
    return {name: fault for name, fault in faults.items() if fault}


def _disks(seen: Overview) -> list[MachineDisk]:
    """Return the nodes' disks, as they last noted them, and this machine's.

    A machine that only answers requests needs no models.
    """
    found = [
        MachineDisk(view.node.name, space)
        for view in seen.nodes
        if view.node.is_alive
        for space in view.node.disks
    ]
    here = platform.node()
    if all(disk.machine != here for disk in found):
        data = disk_spaces({"data": [settings.DATA_DIR]})
        found += [MachineDisk(here, space) for space in data]
    return found
