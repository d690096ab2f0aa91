"""What a node leaves to others: workers for which another node is the better one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from inference.capacity.load_plan import plan_within
from inference.capacity.node_choice import NodeRoom, is_better
from inference.models import EngineNode
from inference.placing.files import with_files
from inference.placing.labels import takes
from llm_manager.lib.threads import in_one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.capacity.load_plan import LoadSpec
    from inference.models import Worker

#: How long a node leaves a worker to better ones. They look at the rows every second;
#: one that has not claimed it by then cannot.
LEAVES_FOR_S = 5.0


class ReplicaSpread:
    """What one node leaves to others."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left_since: dict[int, float] = {}

    async def leaves_to_others(
        self, row: Worker, node: EngineNode, spec: LoadSpec
    ) -> bool:
        """Whether another node may have this one, which is better for it."""
        if not await in_one_thread(_is_there_a_better, row, node, spec):
            self._left_since.pop(row.pk, None)
            return False
        now = self._clock()
        return now - self._left_since.setdefault(row.pk, now) < LEAVES_FOR_S

    def forget(self, row_id: int) -> None:
        """Leave the row for as long again, should it be requested again."""
        self._left_since.pop(row_id, None)


def _is_there_a_better(row: Worker, node: EngineNode, spec: LoadSpec) -> bool:
    others = EngineNode.objects.open().exclude(pk=node.pk).prefetch_related("workers")
    others_that_take = with_files(
        (each for each in others if takes(each, row.model)), row.model
    )
    if not others_that_take:
        return False
    here = EngineNode.objects.prefetch_related("workers").get(pk=node.pk)
    own = room_on(here, row.model_id, spec)
    placement = row.model.setting_in_force("placement")
    return any(
        is_better(room_on(other, row.model_id, spec), own, placement=placement)
        for other in others_that_take
    )


def room_on(node: EngineNode, model_id: int, spec: LoadSpec) -> NodeRoom:
    """Return what a node has for a model beside what is loaded there.

    Reads the node's workers.
    """
    workers = list(node.workers.all())
    loaded = [each for each in workers if each.device_memory]
    free = tuple(
        limit
        - sum(w.device_memory[device] for w in loaded if device < len(w.device_memory))
        for device, limit in enumerate(node.limits)
    )
    models = {each.model_id for each in loaded} | {model_id}
    return NodeRoom(
        of_model=sum(each.model_id == model_id for each in workers),
        free=sum(free) / max(1, sum(node.limits)),
        has_room=len(models) <= node.max_models
        and plan_within(spec, node.machine, free) is not None,
    )
