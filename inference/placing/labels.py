"""Labels: which nodes may load a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.models import EngineNode
from registry.load_settings import labels_in

if TYPE_CHECKING:
    from registry.models import Model


def labels_of_machine(configured: str, *, has_gpus: bool) -> list[str]:
    """Return all labels of a node: those of its configuration, and its kind."""
    return sorted(labels_in(configured) | {"gpu" if has_gpus else "cpu"})


def needed_labels(model: Model) -> frozenset[str]:
    """Return the labels that a node must have to load a model."""
    return labels_in(model.setting_in_force("node_labels"))


def takes(node: EngineNode, model: Model) -> bool:
    """Return whether a node has all the labels that a model needs."""
    return needed_labels(model) <= set(node.labels)


def why_no_node_takes(model: Model) -> str:
    """Return why no node that takes workers may load a model; "" if one may."""
    nodes = list(EngineNode.objects.open())
    if any(takes(node, model) for node in nodes):
        return ""
    needed = ", ".join(sorted(needed_labels(model)))
    return (
        f"No machine that takes workers has the labels that it needs ({needed}). "
        "They are set by engine.labels on a machine, and by node_labels of the model."
    )
