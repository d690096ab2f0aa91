"""What this node fetches for requested workers whose models it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.models import EngineNode
from inference.node.replica_spread import room_on
from inference.placing.elsewhere import may_load
from inference.placing.files import lacking, parts_of, why_no_node_has, with_files
from inference.placing.labels import takes
from inference.placing.pulls import chosen_puller, why_not_pulled
from llm_manager.lib.units import human_bytes
from registry.downloads.pulling import pull_request
from registry.models import Download

if TYPE_CHECKING:
    from datetime import datetime

    from inference.capacity.load_plan import LoadSpec
    from inference.models import Worker
    from registry.models import Model


@dataclass(frozen=True, slots=True)
class PullStep:
    """What becomes of a requested worker whose files are not here.

    ``reason``: what it waits for, or why it fails. ``is_here``: the files have come.
    Nothing of it: it is left to other nodes.
    """

    reason: str = ""
    is_final: bool = False
    is_here: bool = False


_LEFT_TO_OTHERS = PullStep()


class Pulls:
    """The pulls that this node has begun for requests of workers."""

    def __init__(self) -> None:
        self._begun: dict[int, datetime] = {}

    def step(
        self, row: Worker, node: EngineNode, spec: LoadSpec, *, awaited: str
    ) -> PullStep:
        """Begin to fetch a row's model if that is for this node; say how it goes.

        ``awaited`` is a node with the files that may only be restarting, if any.
        """
        if self._begun.get(row.pk) != row.requested_at:
            found = _for_whom(row, node, spec, awaited)
            if found is not None:
                return found
            for part in lacking(node, row.model):
                pull_request(model=part, node=node.name, by=f"a load of {row.model}")
            self._begun[row.pk] = row.requested_at
        found = _progress(row.model, node)
        if found.is_final or found.is_here:
            del self._begun[row.pk]
        return found


def _for_whom(
    row: Worker, node: EngineNode, spec: LoadSpec, awaited: str
) -> PullStep | None:
    """Return who else loads a row's model, or why nobody can; None if this node may.

    An extra worker is for nodes whose memory is free, the first one for those that may
    unload others.
    """
    model = row.model
    others = EngineNode.objects.open().exclude(pk=node.pk).prefetch_related("workers")
    having = [each for each in with_files(others, model) if takes(each, model)]
    if any(
        room_on(each, model.pk, spec).has_room
        if row.replica
        else may_load(each, model, spec)
        for each in having
    ):
        return _LEFT_TO_OTHERS
    if awaited and not having:
        reason = f"Waiting for the machine {awaited}, which has the files for it."
        return PullStep(reason)
    puller = chosen_puller(model, spec)
    if puller is None and not having:
        reason = f"{why_no_node_has(model)} {why_not_pulled(model)}"
        return PullStep(reason, is_final=True)
    # Without a puller the nodes that have the files say what they lack.
    return None if puller is not None and puller.pk == node.pk else _LEFT_TO_OTHERS


def _progress(model: Model, node: EngineNode) -> PullStep:
    wanted = [part.fingerprint for part in parts_of(model)]
    rows = Download.objects.filter(node=node.name, fingerprint__in=wanted)
    missing = {part.fingerprint: part for part in lacking(node, model)}
    rows = rows.filter(fingerprint__in=missing)
    for row in rows:
        if row.state in (Download.State.FAILED, Download.State.CANCELLED):
            name = missing[row.fingerprint].file_name
            reason = f"{name} could not be fetched to {node.name}: {row.error}"
            return PullStep(reason, is_final=True)
    coming = [row for row in rows if row.is_open]
    if not coming:
        return PullStep(is_here=True)
    total = sum(row.bytes_total or 0 for row in coming)
    done = sum(min(row.bytes_done, row.bytes_total or 0) for row in coming)
    names = " and ".join(missing[row.fingerprint].file_name for row in coming)
    share = f", {done * 100 // total} % of {human_bytes(total)}" if total else ""
    return PullStep(f"Waiting: {node.name} fetches {names}{share}.")
