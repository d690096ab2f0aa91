"""Keeps the places that this process's requests have among the parallel ones."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from channels.layers import channel_layers
from redis.exceptions import RedisError

from accounts.limits.counting.store import LEASE_S, renew

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)


class Places:
    """The places of running requests, renewed while there are any.

    Used on one event loop. A web process that dies leaves its places to lapse.
    """

    def __init__(self, every_s: float = LEASE_S / 3) -> None:
        self._every_s = every_s
        self._until: dict[tuple[str, str], float] = {}
        self._renewing: asyncio.Task[None] | None = None

    def keep(self, places: Sequence[tuple[str, str]], *, for_s: float) -> None:
        """Renew these from now on, for as long as a request can take."""
        self._until.update(dict.fromkeys(places, time.monotonic() + for_s))
        if self._until and (self._renewing is None or self._renewing.done()):
            self._renewing = asyncio.get_running_loop().create_task(self._renew())

    def forget(self, places: Sequence[tuple[str, str]]) -> None:
        """Renew these no more."""
        for place in places:
            self._until.pop(place, None)
        if not self._until and self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None

    async def _renew(self) -> None:
        layer: Any = channel_layers["queue"]
        while True:
            await asyncio.sleep(self._every_s)
            now = time.monotonic()
            places = [place for place, until in self._until.items() if until > now]
            self._until = {place: self._until[place] for place in places}
            try:
                await renew(layer.connection(0), places)
            except (OSError, RedisError) as error:
                logger.warning("Places of running requests are not renewed: %s", error)


#: Those of this process.
places = Places()
