"""Pulls: which node fetches a model that it lacks, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.audit.actor import current_actor
from accounts.audit.log import note
from inference.engine_messages import engine_wake
from inference.errors import PullRefused
from inference.models import EngineNode
from inference.placing.elsewhere import may_load
from inference.placing.files import lacking, with_files
from inference.placing.labels import takes
from registry.downloads.pulling import FROM_HUB, FROM_NODES, hub_record, pull_request
from registry.models import ModelCopy

if TYPE_CHECKING:
    from inference.capacity.load_plan import LoadSpec
    from registry.models import Download, Model


_NO_SOURCE = (
    "no other machine sends it (nodes.listen), and there is no hub that it is known to "
    "be of, as far as nodes.pull_models permits them."
)


def may_pull(node: EngineNode, model: Model) -> bool:
    """Return whether a node may fetch all that it lacks of a model from somewhere."""
    return all(_has_source(node, part) for part in lacking(node, model))


def could_load(node: EngineNode, model: Model) -> bool:
    """Return whether a node has a model's files or may fetch them."""
    return bool(with_files([node], model)) or may_pull(node, model)


def chosen_puller(model: Model, spec: LoadSpec) -> EngineNode | None:
    """Return the node that fetches a model which no node with its files can load.

    Of those that may and have the memory it is the one with the most; None if there is
    none.
    """
    able = [
        node
        for node in EngineNode.objects.open()
        if may_load(node, model, spec)
        and not with_files([node], model)
        and may_pull(node, model)
    ]
    return max(able, key=lambda node: (sum(node.limits), node.name), default=None)


def why_not_pulled(model: Model) -> str:
    """Return what would let a node fetch a model that no node may load, as a hint."""
    nodes = [node for node in EngineNode.objects.open() if takes(node, model)]
    if all(node.pulls_from == "off" for node in nodes):
        return "nodes.pull_models lets machines fetch what they lack."
    return f"It cannot be fetched: {_NO_SOURCE}"


def node_pull(*, node: EngineNode, model: Model) -> list[Download]:
    """Request that a node fetches what it lacks of a model, and note who asked.

    Raises PullRefused, with a sentence, if it lacks nothing or may not.
    """
    parts = lacking(node, model)
    if not node.reports_files or not parts:
        raise PullRefused(f"{node} has all files of '{model}'.")
    if node.pulls_from == "off":
        raise PullRefused(f"{node} may fetch nothing: nodes.pull_models is off there.")
    for part in parts:
        if not _has_source(node, part):
            raise PullRefused(f"'{part}' cannot be fetched: {_NO_SOURCE}")
    by = current_actor().by
    note(node, "pull requested", model=model.name)
    downloads = [pull_request(model=part, node=node.name, by=by) for part in parts]
    engine_wake()
    return downloads


def _has_source(node: EngineNode, part: Model) -> bool:
    if node.pulls_from in FROM_NODES and _senders(node, part):
        return True
    return node.pulls_from in FROM_HUB and hub_record(part) is not None


def _senders(node: EngineNode, part: Model) -> bool:
    alive = EngineNode.objects.alive().exclude(pk=node.pk).exclude(files_address="")
    copies = ModelCopy.objects.filter(fingerprint=part.fingerprint)
    return copies.filter(node__in=alive).exists()
