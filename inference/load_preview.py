"""What loading models would do to those that are loaded: asked before it is done."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.db.models import prefetch_related_objects

from inference.capacity.eviction import LoadedWorker
from inference.capacity.model_rows import InvalidSettings, load_spec
from inference.capacity.placement import NodeCapacity, place_worker
from inference.models import EngineNode, Worker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inference.capacity.placement import Placement
    from registry.models import Model

_IN_MEMORY = (WorkerState.LOADING, WorkerState.READY, WorkerState.DRAINING)


@dataclass(frozen=True, slots=True)
class LoadPreview:
    """What happens if a model is loaded now.

    It is loaded beside the others (``fits_now``), or ``evicts`` these workers, or
    waits, or is impossible. ``reason`` says why it is not loaded. ``unloads`` are
    the names of models that were to be loaded just before it, and go again.
    """

    fits_now: bool = False
    evicts: tuple[Worker, ...] = ()
    unloads: tuple[str, ...] = ()
    is_impossible: bool = False
    reason: str = ""


def load_preview(model: Model) -> LoadPreview | None:
    """Return what loading a model would do now.

    None if no engine runs, if its settings are invalid, or if it is loaded already.
    """
    return load_previews([model]).get(model.pk)


def load_previews(models: Iterable[Model]) -> dict[int, LoadPreview]:
    """Return what loading these models one after the other would do, in a few queries.

    Models that are loaded already have no preview; without an engine none has.
    """
    nodes = [_Node(node) for node in EngineNode.objects.alive()]
    workers = Worker.objects.filter(state__in=_IN_MEMORY)
    rows = list(workers.select_related("model", "node"))
    for node in nodes:
        node.workers = [row for row in rows if row.node_id == node.row.pk]
    loaded = {row.model_id for row in rows if not _is_leaving(row)}
    models = list(models)
    prefetch_related_objects(models, "attachments__adapter", "context_tests")
    previews = {}
    for model in models:
        if model.pk in loaded or not nodes:
            continue
        try:
            previews[model.pk] = _preview(model, nodes)
        except InvalidSettings as error:
            previews[model.pk] = LoadPreview(is_impossible=True, reason=str(error))
    return previews


class _Node:
    """A node as it is now, and as it would be after the models before."""

    def __init__(self, row: EngineNode) -> None:
        self.row = row
        self.workers: list[Worker] = []
        self.added: dict[Model, LoadedWorker] = {}

    def place(self, model: Model) -> Placement:
        loaded = _loaded(self.workers, len(self.row.limits))
        loaded += self.added.values()
        capacity = NodeCapacity(
            machine=self.row.machine,
            limits=self.row.limits,
            max_models=self.row.max_models,
            loaded=loaded,
            names={
                **{row.model_id: row.model.name for row in self.workers},
                **{model.pk: model.name for model in self.added},
            },
        )
        spec = load_spec(model)
        spec = replace(spec, remote=self.row.lent_by(spec.settings.rpc_servers))
        return place_worker(spec, model=model.pk, is_extra=False, capacity=capacity)

    def take(self, model: Model, placement: Placement) -> LoadPreview:
        """Load a model here; return what that does."""
        gone = tuple(row for row in self.workers if row.pk in placement.evict)
        added = [m for m, each in self.added.items() if each.key in placement.evict]
        self.workers = [row for row in self.workers if row not in gone]
        for each in added:
            del self.added[each]
        if placement.planned is not None:
            self.added[model] = LoadedWorker(
                # Rows have keys above 0.
                key=-model.pk,
                model=model.pk,
                memory=placement.planned.needs(),
                last_used=math.inf,
                running=0,
                is_pinned=model.setting_in_force("is_pinned"),
            )
        return LoadPreview(
            fits_now=not placement.evict,
            evicts=gone,
            unloads=tuple(each.name for each in added),
        )


def _preview(model: Model, nodes: Sequence[_Node]) -> LoadPreview:
    """Return what loading does where it does the least."""
    placements = [(node, node.place(model)) for node in nodes]
    for node, placement in placements:
        if placement.plan is not None:
            return node.take(model, placement)
    for node, placement in placements:
        if placement.evict:
            return node.take(model, placement)
    impossible = [each for _, each in placements if each.is_impossible]
    if len(impossible) == len(placements):
        return LoadPreview(is_impossible=True, reason=impossible[0].reason)
    return LoadPreview(reason="It waits until another worker has been unloaded.")


def _is_leaving(row: Worker) -> bool:
    return row.state == WorkerState.DRAINING or not row.is_desired


def _loaded(rows: Iterable[Worker], num_devices: int) -> list[LoadedWorker]:
    """Return workers as eviction sees them; all but a model's first are extra."""
    seen: set[int] = set()
    loaded = []
    for row in sorted(rows, key=lambda row: row.replica):
        memory = (*row.device_memory, *[0] * num_devices)[:num_devices]
        worker = LoadedWorker(
            key=row.pk,
            model=row.model_id,
            memory=tuple(memory),
            last_used=row.last_used_at.timestamp() if row.last_used_at else 0.0,
            running=row.running,
            is_draining=_is_leaving(row),
            is_pinned=row.model.setting_in_force("is_pinned"),
            servers=frozenset(row.loaded_settings.get("rpc_servers", ())),
        )
        loaded.append(replace(worker, is_extra=row.model_id in seen))
        seen.add(row.model_id)
    return loaded
