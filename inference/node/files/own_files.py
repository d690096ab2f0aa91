"""Which model files this node has: looked at, reported, and used for loads."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from django.db import DatabaseError

from inference.models import EngineNode
from inference.placing.files import parts_of
from llm_manager.lib.clocks.database_clock import database_now
from llm_manager.lib.threads import in_thread
from registry.copies.here import OwnCopies, by_fingerprint, use_own_copy
from registry.copies.report import copies_report
from registry.services import configured_roots

if TYPE_CHECKING:
    from datetime import datetime

    from registry.models import Model, ModelCopy

logger = logging.getLogger(__name__)


class OwnFiles:
    """The node's copies of models, as of its last look at its disks.

    Before the first look it has all files, as far as it knows.
    """

    def __init__(self) -> None:
        self._own: OwnCopies | None = None
        self._one_at_a_time = asyncio.Lock()
        #: For which request of a worker it has looked, by the row.
        self._looked_for: dict[int, datetime] = {}

    async def report(self, node: EngineNode) -> None:
        """Look at the disks and write what is there; a failure is logged."""
        async with self._one_at_a_time:
            try:
                copies = await in_thread(_report, node)
            except (DatabaseError, OSError):
                logger.exception("The model files of this machine are not reported")
                return
            self._own = by_fingerprint(copies)

    def use(self, model: Model) -> None:
        """Let a model and its parts have the paths that they have here, in memory."""
        for part in parts_of(model) if self._own is not None else ():
            use_own_copy(part, self._own or {})

    async def has(
        self, model: Model, node: EngineNode, *, row_id: int, since: datetime
    ) -> bool:
        """Return whether all files of a model are here.

        If not, it looks at the disks once for each request of a worker, which was
        requested at ``since``: a scan may just have found the files.
        """
        if self.has_now(model):
            self._looked_for.pop(row_id, None)
            return True
        if self._looked_for.get(row_id) != since:
            self._looked_for[row_id] = since
            await self.report(node)
            self.use(model)
        return self.has_now(model)

    def has_now(self, model: Model) -> bool:
        """Return whether all files of a model were here when it looked last."""
        own = self._own
        return own is None or all(part.fingerprint in own for part in parts_of(model))


def _report(node: EngineNode) -> list[ModelCopy]:
    copies = copies_report(node.pk, configured_roots())
    node.files_seen_at = database_now()
    EngineNode.objects.filter(pk=node.pk).update(files_seen_at=node.files_seen_at)
    return copies
