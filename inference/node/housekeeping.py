"""What an engine process does for all: sends notices, deletes what is old.

Any number of nodes may do it at once. It runs in threads of its own: a webhook may take
its time.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DatabaseError

from accounts.audit.pruning import audit_prune
from accounts.captures.pruning import captures_prune
from accounts.notices.delivery import notices_prune, notices_send
from accounts.stored_pruning import stored_prune
from accounts.usage.pruning import usage_prune
from inference.evictions import evictions_prune
from inference.models import EngineNode
from inference.node.worker_rows import node_stop
from llm_manager.lib.threads import in_thread
from registry.services import disks

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_SEND_EVERY_S = 5.0
#: What is old is kept for days.
_PRUNE_EVERY_S = 300.0
_NOTE_EVERY_S = 60.0
#: Between two batches, so that others get at the database.
_PRUNE_PAUSE_S = 0.5


async def keep_house() -> None:
    """Do it until cancelled."""
    sending = []
    if settings.CONFIG.notices.webhook_url is not None:
        sending = [_forever(notices_send, every_s=_SEND_EVERY_S, pause_s=_SEND_EVERY_S)]
    await asyncio.gather(
        *sending,
        _forever(notices_prune, every_s=_PRUNE_EVERY_S, pause_s=_PRUNE_PAUSE_S),
        _forever(captures_prune, every_s=_PRUNE_EVERY_S, pause_s=_PRUNE_PAUSE_S),
        _forever(stored_prune, every_s=_PRUNE_EVERY_S, pause_s=_PRUNE_PAUSE_S),
        _forever(usage_prune, every_s=_PRUNE_EVERY_S, pause_s=_PRUNE_PAUSE_S),
        _forever(audit_prune, every_s=_PRUNE_EVERY_S, pause_s=_PRUNE_PAUSE_S),
        _forever(_disks_note, every_s=_NOTE_EVERY_S, pause_s=_NOTE_EVERY_S),
        _forever(evictions_prune, every_s=_PRUNE_EVERY_S, pause_s=_PRUNE_PAUSE_S),
        _forever(nodes_forget, every_s=_PRUNE_EVERY_S, pause_s=_PRUNE_PAUSE_S),
    )


def _disks_note() -> int:
    # Not with the heartbeat: a network disk may keep a thread waiting for minutes.
    EngineNode.objects.filter(name=platform.node()).update(disks=disks())
    return 0


def nodes_forget() -> int:
    """Delete the rows of nodes that have been silent for a day; return their number.

    Machines that end in order delete their own. What is left is of those that were
    killed, such as pods whose names never come back.
    """
    gone = list(EngineNode.objects.gone().exclude(name=platform.node()))
    for node in gone:
        logger.info("The node %s is forgotten: it was silent for a day", node)
        node_stop(node)
    return len(gone)


async def _forever(work: Callable[[], int], *, every_s: float, pause_s: float) -> None:
    """Do a batch of work every ``every_s``; after one that found some, ``pause_s``."""
    while True:
        done = 0
        try:
            done = await in_thread(work)
        except DatabaseError as error:
            logger.warning("Housekeeping cannot use the database now: %s", error)
        except Exception:
            # It must not end: the next attempt may succeed.
            logger.exception("Housekeeping failed")
        await asyncio.sleep(pause_s if done else every_s)
