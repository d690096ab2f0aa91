"""Files: which nodes have those of a model, as they report them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Q

from inference.models import EngineNode
from inference.placing.labels import takes
from registry.model_facts import projector_in_force
from registry.models import Model, ModelCopy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def parts_of(model: Model) -> list[Model]:
    """Return all that a model is loaded with, the model itself first."""
    parts = [model]
    if model.projector is not None and projector_in_force(model) is not None:
        parts.append(model.projector)
    if model.draft_model is not None and model.setting_in_force("draft") == "model":
        parts.append(model.draft_model)
    return [*parts, *model.adapters()]


def with_files(nodes: Iterable[EngineNode], model: Model) -> list[EngineNode]:
    """Return those of these nodes that have all files of a model.

    A node of an older version does not say what it has, and counts as having them.
    """
    nodes, parts = list(nodes), parts_of(model)
    have = _copies_of(parts, nodes)
    return [
        node
        for node in nodes
        if not node.reports_files
        or all(part.fingerprint in have[node.pk] for part in parts)
    ]


def lacking(node: EngineNode, model: Model) -> list[Model]:
    """Return the parts of a model whose files a node lacks, as far as it says."""
    if not node.reports_files:
        return []
    parts = parts_of(model)
    have = _copies_of(parts, [node])[node.pk]
    return [part for part in parts if part.fingerprint not in have]


def why_no_node_has(model: Model) -> str:
    """Return why no node that may load a model has its files; "" if one has.

    The sentence says of each machine what it lacks. It names files and no paths: API
    clients read it.
    """
    alive = list(EngineNode.objects.alive())
    is_open = set(EngineNode.objects.open().values_list("pk", flat=True))
    may = [node for node in alive if node.pk in is_open and takes(node, model)]
    if not may or with_files(may, model):
        return ""
    others = [node for node in with_files(alive, model) if node not in may]
    said = [*(_lacks(node, model) for node in may)]
    for node in others:
        why = "is drained" if node.pk not in is_open else "has not the labels for it"
        said.append(f"{node.name} has all, and {why}")
    return f"No machine that may load it has its files: {'; '.join(said)}."


def _lacks(node: EngineNode, model: Model) -> str:
    parts = lacking(node, model)
    names = [part.file_name for part in parts]
    different = set(
        ModelCopy.objects.filter(node=node, path__in=[part.path for part in parts])
        .exclude(fingerprint__in=[part.fingerprint for part in parts])
        .values_list("path", flat=True)
    )
    replaced = [part.file_name for part in parts if part.path in different]
    absent = [name for name in names if name not in replaced]
    said = []
    if absent:
        said.append(f"lacks {' and '.join(absent)}")
    if replaced:
        said.append(f"has another file as {' and '.join(replaced)}")
    return f"{node.name} {' and '.join(said)}"


def _copies_of(
    parts: Iterable[Model], nodes: Sequence[EngineNode]
) -> defaultdict[int, set[str]]:
    """Return which of these parts each node has, by fingerprint."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    wanted = [part.fingerprint for part in parts]
    rows = ModelCopy.objects.filter(node__in=nodes, fingerprint__in=wanted)
    for node_id, fingerprint in rows.values_list("node_id", "fingerprint"):
        found[node_id].add(fingerprint)
    return found


@dataclass(frozen=True, slots=True)
class NodeCopy:
    """A node's copy of a model, if it has one; ``other``: another file of that name."""

    node: EngineNode
    copy: ModelCopy | None
    other: ModelCopy | None


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A file of a node, and the models that it is."""

    copy: ModelCopy
    models: tuple[Model, ...]


def copies_of(model: Model) -> list[NodeCopy]:
    """Return each node that reports files, with what it has of a model, by name."""
    named = Q(path__endswith="/" + model.file_name)
    found = ModelCopy.objects.filter(named | Q(fingerprint=model.fingerprint))
    copies: dict[int, ModelCopy] = {}
    others: dict[int, ModelCopy] = {}
    for copy in found.order_by("-path"):
        is_it = copy.fingerprint == model.fingerprint
        (copies if is_it else others)[copy.node_id] = copy
    return [
        NodeCopy(node, copies.get(node.pk), others.get(node.pk))
        for node in EngineNode.objects.order_by("name")
        if node.reports_files
    ]


def files_of(node: EngineNode) -> Iterator[NodeFile]:
    """Yield the files that a node reports, by path."""
    copies = list(node.copies.all()) if node.reports_files else []
    models: defaultdict[str, list[Model]] = defaultdict(list)
    rows = Model.objects.files().only("name", "fingerprint")
    wanted = {copy.fingerprint for copy in copies}
    for model in rows:
        if model.fingerprint in wanted:
            models[model.fingerprint].append(model)
    for copy in copies:
        yield NodeFile(copy, tuple(models[copy.fingerprint]))
