"""Autoscaling: reads what a model's replicas have to do, and changes their number."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.conf import settings

from inference.capacity.scaling import ReplicaDemand, ScalingRules, ScalingState, scale
from inference.models import ScalingEvent, Worker, WorkerState
from inference.services import replicas_set
from llm_manager.lib.threads import in_one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from registry.models import Model

#: Changes of a model's replicas that are kept.
_KEPT = 50


class Autoscaling:
    """Scales the models whose first worker with a node is on this one.

    So each model is scaled by one node, which looks at its rows while anything runs.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states: dict[int, ScalingState] = {}
        #: Whether any of the models of the last look has a choice of replicas.
        self.has_to_look = False

    async def look_after(self, models: Iterable[Model], node: str) -> None:
        """Add or release a worker of each of these models, if that is due."""
        self.has_to_look = False
        for model in {model.pk: model for model in models}.values():
            rules = rules_of(model)
            if rules.most > rules.least:
                self.has_to_look = True
                await in_one_thread(self._look_at, model, rules, node)
            else:
                self._states.pop(model.pk, None)

    def _look_at(self, model: Model, rules: ScalingRules, node: str) -> None:
        workers = list(
            Worker.objects.select_related("node").filter(model=model, is_desired=True)
        )
        # The first of all may wait for a node that never comes.
        placed = [(worker.replica, worker.node) for worker in workers if worker.node]
        _, first = min(placed, key=lambda each: each[0], default=(0, None))
        if first is None or first.name != node:
            self._states.pop(model.pk, None)
            return
        demand = demand_of(workers)
        state = self._states.get(model.pk, ScalingState())
        found = scale(state, demand, rules, self._clock())
        self._states[model.pk] = found.state
        if found.replicas is not None:
            _change(model, demand.replicas, found.replicas, found.reason)


def rules_of(model: Model) -> ScalingRules:
    """Return the bounds of a model's replicas, and the configuration's times."""
    least = model.setting_in_force("replicas")
    engine = settings.CONFIG.engine
    return ScalingRules(
        least=least,
        most=max(least, model.setting_in_force("replicas_max")),
        up_wait_s=engine.scale_up_wait,
        down_after_s=engine.scale_down_after,
    )


def demand_of(workers: Iterable[Worker]) -> ReplicaDemand:
    """Return what the desired workers of a model have to do, as their rows say."""
    rows = list(workers)
    ready = [row for row in rows if row.state == WorkerState.READY]
    return ReplicaDemand(
        wait_s=max((row.oldest_wait_s for row in ready), default=0.0),
        running=sum(row.running for row in ready),
        slots=sum(row.n_seq_max or 0 for row in ready),
        ready=len(ready),
        replicas=len(rows),
    )


def _change(model: Model, before: int, after: int, reason: str) -> None:
    replicas_set(model=model, replicas=after, by=f"autoscaling: {reason}")
    ScalingEvent.objects.create(
        model=model, replicas_before=before, replicas_after=after, reason=reason
    )
    kept = list(model.scaling_events.values_list("pk", flat=True)[:_KEPT])
    model.scaling_events.exclude(pk__in=kept).delete()
