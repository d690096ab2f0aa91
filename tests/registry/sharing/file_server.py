"""A node's file server in a thread, for tests that fetch from it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from registry.scan.folders import mtime_ns
from registry.sharing.byte_rate import ByteRate
from registry.sharing.server import FileServer, SharedFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SECRET = "s" * 64


def shared(paths: Sequence[Path]) -> SharedFiles:
    """Return files as their node would report them."""
    statuses = [path.stat() for path in paths]
    return SharedFiles(
        tuple(map(str, paths)),
        sum(status.st_size for status in statuses),
        max(mtime_ns(status) for status in statuses),
    )


class RunningServer:
    """A file server; ``files`` has what it sends by fingerprint."""

    def __init__(self, root: Path, secret: str, rate: ByteRate) -> None:
        self.files: dict[str, SharedFiles] = {}
        self.address = ""
        self.server = FileServer(secret, self._find, [str(root)], rate)
        self._loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    async def _find(self, fingerprint: str) -> SharedFiles | None:
        return self.files.get(fingerprint)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        listening = await self.server.listen("127.0.0.1", 0)
        host, port = listening.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        self._is_up.set()
        await self._ended.wait()
        listening.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What was aborted is closed in the loop's next turns.
        for _ in range(3):
            await asyncio.sleep(0)

    def start(self) -> None:
        """Serve; ``address`` is known then."""
        self._thread.start()
        assert self._is_up.wait(60)

    def stop(self) -> None:
        """End it, with all connections."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(60)


@contextmanager
def file_server(
    root: Path, secret: str = SECRET, rate: ByteRate | None = None
) -> Iterator[RunningServer]:
    """Run a server that sends files below a folder."""
    running = RunningServer(root.resolve(), secret, rate or ByteRate(0))
    running.start()
    try:
        yield running
    finally:
        running.stop()
