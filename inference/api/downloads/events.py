"""How far a download is, as server-sent events."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from inference.api.downloads.objects import download_object
from inference.api.streaming import sse
from llm_manager.lib.threads import in_thread
from registry.models import Download

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LOOK_EVERY_S = 0.5
#: Proxies end connections on which nothing comes.
_SIGN_OF_LIFE_S = 10.0


async def download_events(pk: int) -> AsyncIterator[bytes]:
    """Yield the download's object whenever it changes, until it has ended."""
    sent = None
    said_at = time.monotonic()
    while True:
        download = await in_thread(Download.objects.filter(pk=pk).first)
        if download is None:
            break
        found = download_object(download)
        if found != sent:
            sent, said_at = found, time.monotonic()
            yield sse.event(found)
        elif time.monotonic() - said_at > _SIGN_OF_LIFE_S:
            said_at = time.monotonic()
            yield sse.KEEP_ALIVE
        if not download.is_open:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    yield sse.DONE
