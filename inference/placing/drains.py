"""Drains of nodes: an administrator's order that a node has no workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.audit.actor import current_actor
from accounts.audit.log import note
from inference.capacity.model_rows import InvalidSettings, load_spec
from inference.engine_messages import engine_wake
from inference.models import EngineNode, NodeDrain, Worker, WorkerState
from inference.placing.elsewhere import may_load
from inference.placing.files import with_files

if TYPE_CHECKING:
    from registry.models import Model


def drain_of(node: EngineNode) -> NodeDrain | None:
    """Return the order that a node is drained, if there is one."""
    return NodeDrain.objects.filter(node_name=node.name).first()


def drained_nodes() -> set[str]:
    """Return the names of the nodes that are drained."""
    return set(NodeDrain.objects.values_list("node_name", flat=True))


def node_drain(*, node: EngineNode, is_now: bool = False) -> None:
    """Order that a node takes no workers, and that those that it has go elsewhere.

    With ``is_now`` also those that no other node can take, and without finishing their
    running requests. Idempotent; it holds until ``node_undrain``, however often the
    engine process is started.
    """
    by = current_actor().by
    NodeDrain.objects.update_or_create(
        node_name=node.name, defaults={"is_now": is_now, "by": by}
    )
    note(node, "drain requested", now=is_now)
    engine_wake()


def node_undrain(*, node: EngineNode) -> None:
    """Let a node take workers again. Idempotent."""
    if NodeDrain.objects.filter(node_name=node.name).delete()[0]:
        note(node, "drain ended")
    engine_wake()


def is_served_elsewhere(model: Model, node: EngineNode) -> bool:
    """Return whether a worker on a node that is not drained serves a model."""
    others = EngineNode.objects.open().exclude(pk=node.pk)
    ready = Worker.objects.filter(state=WorkerState.READY, is_desired=True)
    return ready.filter(model=model, node__in=others).exists()


def can_go_elsewhere(model: Model, node: EngineNode) -> bool:
    """Return whether another node may load a model, after evictions if need be."""
    others = EngineNode.objects.open().exclude(pk=node.pk)
    try:
        spec = load_spec(model)
    except InvalidSettings:
        return False
    return any(may_load(other, model, spec) for other in with_files(others, model))
