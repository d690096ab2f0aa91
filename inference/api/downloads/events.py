"""How far downloads are, as server-sent events: one reader for all who follow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from inference.api.downloads.objects import download_object
from inference.api.errors import ServerBusy
from inference.api.streaming import sse
from llm_manager.lib.threads import in_thread
from registry.models import Download

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from inference.api.downloads.objects import DownloadObject

    Read = Callable[[Sequence[int]], Awaitable[dict[int, Download]]]

_LOOK_EVERY_S = 0.5
#: Proxies end connections on which nothing comes.
_SIGN_OF_LIFE_S = 10.0
#: The most who follow downloads in one web process. A choice.
_MAX_FOLLOWERS = 64


async def _rows(numbers: Sequence[int]) -> dict[int, Download]:
    return await in_thread(Download.objects.in_bulk, numbers)


class _Watched:
    """One download as it was read last; ``news`` is set when that changes."""

    def __init__(self) -> None:
        self.followers = 0
        self.news = asyncio.Event()
        self.found: DownloadObject | None = None
        self.event = b""
        self.is_over = False
        self.failure: Exception | None = None

    def take(self, download: Download | None) -> None:
        found = None if download is None else download_object(download)
        if found is not None and found == self.found:
            return
        self.found = found
        self.event = sse.event(found)
        self.is_over = download is None or not download.is_open
        self._tell()

    def fail(self, error: Exception) -> None:
        self.failure = error
        self._tell()

    def _tell(self) -> None:
        old, self.news = self.news, asyncio.Event()
        old.set()


class DownloadFollowers:
    """Who follows downloads in this process.

    ``read`` returns rows by number; it is called once a look, however many follow.
    """

    def __init__(
        self,
        *,
        read: Read = _rows,
        look_every_s: float = _LOOK_EVERY_S,
        most: int = _MAX_FOLLOWERS,
    ) -> None:
        self._read = read
        self._look_every_s = look_every_s
        self._most = most
        self._watched: dict[int, _Watched] = {}
        self._reader: asyncio.Task[None] | None = None

    def check_room(self) -> None:
        """Raise ServerBusy if as many follow already as may."""
        if sum(each.followers for each in self._watched.values()) >= self._most:
            raise ServerBusy(
                f"{self._most} clients follow downloads already. "
                "Ask for the download itself instead, or try again later."
            )

    async def events(self, download: Download) -> AsyncGenerator[bytes, None]:
        """Yield the download's object as it changes, until it has ended.

        Raises ServerBusy, and what reading raises.
        """
        self.check_room()
        watched = self._watched.setdefault(download.pk, _Watched())
        watched.followers += 1
        try:
            watched.take(download)
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._look())
            sent: DownloadObject | None = None
            while True:
                news = watched.news
                if watched.failure is not None:
                    raise watched.failure
                if watched.found is not None and watched.found is not sent:
                    sent = watched.found
                    yield watched.event
                if news is not watched.news:
                    continue
                if watched.is_over:
                    break
                try:
                    async with asyncio.timeout(_SIGN_OF_LIFE_S):
                        await news.wait()
                except TimeoutError:
                    yield sse.KEEP_ALIVE
            yield sse.DONE
        finally:
            self._leave(download.pk, watched)

    def _leave(self, number: int, watched: _Watched) -> None:
        watched.followers -= 1
        if watched.followers or self._watched.get(number) is not watched:
            return
        del self._watched[number]
        if not self._watched and self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def _look(self) -> None:
        """Read what is followed, until nobody follows."""
        while True:
            await asyncio.sleep(self._look_every_s)
            numbers = list(self._watched)
            try:
                rows = await self._read(numbers)
            except Exception as error:
                # They end with it; whoever comes next begins again.
                for watched in self._watched.values():
                    watched.fail(error)
                self._watched = {}
                return
            for number in numbers:
                if (read := self._watched.get(number)) is not None:
                    read.take(rows.get(number))


#: Of this process.
followers = DownloadFollowers()
