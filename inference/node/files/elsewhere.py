"""Which files the other nodes have, as long as they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.models import EngineNode
from registry.models import ModelCopy

if TYPE_CHECKING:
    from datetime import datetime


class FilesElsewhere:
    """The files of other nodes: those of a node are read when it has looked again."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[datetime | None, frozenset[str]]] = {}

    def now(self, node: EngineNode) -> dict[str, frozenset[str]]:
        """Return the fingerprints that each node with a heartbeat has, by its name."""
        found = {}
        for other in EngineNode.objects.alive().exclude(pk=node.pk):
            known = self._read.get(other.name)
            if known is None or known[0] != other.files_seen_at:
                copies = ModelCopy.objects.filter(node=other)
                prints = frozenset(copies.values_list("fingerprint", flat=True))
                known = self._read[other.name] = (other.files_seen_at, prints)
            found[other.name] = known[1]
        self._read = {name: self._read[name] for name in found}
        return found
