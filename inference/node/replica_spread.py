"""What a node leaves to others: replicas, so that the death of one node takes few of
them, and models for which it had to evict others where another node has room.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from inference.capacity.load_plan import plan_within
from inference.models import EngineNode, Worker
from llm_manager.lib.threads import in_one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.capacity.load_plan import LoadSpec

#: How long a node leaves a replica to nodes with fewer. They look at the rows every
#: second; one that has not claimed it by then has no room for it.
LEAVES_FOR_S = 5.0


class ReplicaSpread:
    """What one node leaves to others."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left_since: dict[int, float] = {}
        #: Since when another node has room for a row.
        self._free_since: dict[int, float] = {}

    async def leaves_to_others(self, row: Worker, node: EngineNode) -> bool:
        """Whether another node with fewer workers of the model may have this one."""
        if not await in_one_thread(_has_fewer, row, node):
            self._left_since.pop(row.pk, None)
            return False
        return self._is_recent(row, self._left_since)

    async def leaves_to_free(
        self, row: Worker, node: EngineNode, spec: LoadSpec
    ) -> bool:
        """Whether another node may have this one, which needs no eviction there."""
        if not await in_one_thread(_has_room, node, spec):
            self._free_since.pop(row.pk, None)
            return False
        return self._is_recent(row, self._free_since)

    def _is_recent(self, row: Worker, since: dict[int, float]) -> bool:
        now = self._clock()
        return now - since.setdefault(row.pk, now) < LEAVES_FOR_S

    def forget(self, row_id: int) -> None:
        """Leave the row for as long again, should it be requested again."""
        self._left_since.pop(row_id, None)
        self._free_since.pop(row_id, None)


def _has_room(node: EngineNode, spec: LoadSpec) -> bool:
    """Whether another living node could load a model beside what it has."""
    others = EngineNode.objects.alive().exclude(pk=node.pk).prefetch_related("workers")
    for other in others:
        loaded = [each for each in other.workers.all() if each.device_memory]
        if len({each.model_id for each in loaded}) >= other.max_models:
            continue
        taken = [each.device_memory for each in loaded]
        free = tuple(
            limit - sum(memory[device] for memory in taken if device < len(memory))
            for device, limit in enumerate(other.limits)
        )
        if plan_within(spec, other.machine, free) is not None:
            return True
    return False


def _has_fewer(row: Worker, node: EngineNode) -> bool:
    """Whether a living node has fewer workers of the row's model than this one."""
    workers = Worker.objects.filter(model=row.model_id, node__isnull=False)
    count = Counter(workers.values_list("node", flat=True))
    if not count[node.pk]:
        return False
    others = EngineNode.objects.alive().exclude(pk=node.pk)
    return any(count[pk] < count[node.pk] for pk in others.values_list("pk", flat=True))
