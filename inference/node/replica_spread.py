"""Spreads the replicas of a model over nodes: the death of one takes few of them."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from inference.models import EngineNode, Worker
from llm_manager.lib.threads import in_one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

#: How long a node leaves a replica to nodes with fewer. They look at the rows every
#: second; one that has not claimed it by then has no room for it.
LEAVES_FOR_S = 5.0


class ReplicaSpread:
    """What one node leaves to others."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left_since: dict[int, float] = {}

    async def leaves_to_others(self, row: Worker, node: EngineNode) -> bool:
        """Whether another node with fewer workers of the model may have this one."""
        if not await in_one_thread(_has_fewer, row, node):
            self.forget(row.pk)
            return False
        since = self._left_since.setdefault(row.pk, self._clock())
        return self._clock() - since < LEAVES_FOR_S

    def forget(self, row_id: int) -> None:
        """Leave the row for as long again, should it be requested again."""
        self._left_since.pop(row_id, None)


def _has_fewer(row: Worker, node: EngineNode) -> bool:
    """Whether a living node has fewer workers of the row's model than this one."""
    workers = Worker.objects.filter(model=row.model_id, node__isnull=False)
    count = Counter(workers.values_list("node", flat=True))
    if not count[node.pk]:
        return False
    others = EngineNode.objects.alive().exclude(pk=node.pk)
    return any(count[pk] < count[node.pk] for pk in others.values_list("pk", flat=True))
