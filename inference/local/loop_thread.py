"""An event loop in a thread of its own, which runs all of a manager's work.

So a manager may be used from scripts, from threads and from any event loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from inference.local.errors import ManagerClosed

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future

_T = TypeVar("_T")

#: How long unloading may take when the program ends.
_CLOSE_TIMEOUT_S = 20.0


class LoopThread:
    """The thread is started with the first coroutine. Any thread may use this."""

    def __init__(self) -> None:
        # The garbage collector may end a stream in a thread that holds it.
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._last: asyncio.Task[None] | None = None
        self._pid = os.getpid()

    def submit(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run a coroutine; return its future. Raises ManagerClosed."""
        try:
            loop = self._running()
        except ManagerClosed:
            coroutine.close()
            raise
        # An interrupt from here on may find it running: it is not closed then.
        return asyncio.run_coroutine_threadsafe(coroutine, loop)

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine and return its result; an interrupt cancels it."""
        future = self.submit(coroutine)
        if threading.current_thread() is self._thread:
            future.cancel()
            raise RuntimeError("A manager's own thread cannot wait for itself.")
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def run_later(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine some time, if the thread still runs. Never waits."""
        try:
            self.submit(coroutine)
        except (ManagerClosed, RuntimeError):
            # The thread's end has ended whatever it would have.
            return

    async def awaited(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine for one in another event loop."""
        return await asyncio.wrap_future(self.submit(coroutine))

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run a last coroutine, then end the thread. Idempotent.

        A process that was forked from the program has no thread to end. The thread
        itself does not wait: the garbage collector may call this in it.
        """
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        if was_closed or self._loop is None or os.getpid() != self._pid:
            last.close()
            return
        if threading.current_thread() is self._thread:
            loop = self._loop
            self._last = loop.create_task(last)
            self._last.add_done_callback(lambda _: loop.stop())
            return
        try:
            asyncio.run_coroutine_threadsafe(last, self._loop).result(_CLOSE_TIMEOUT_S)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            if self._thread is not None:
                self._thread.join(_CLOSE_TIMEOUT_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._is_closed:
                raise ManagerClosed("The manager is closed.")
            if os.getpid() != self._pid:
                raise ManagerClosed(
                    "The manager was made in the process that this one was forked "
                    "from. Make one here."
                )
            if self._loop is None:
                # The program's policy may be for another kind of loop.
                self._loop = asyncio.SelectorEventLoop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name="llm-manager"
                )
                self._thread.daemon = True
                self._thread.start()
            return self._loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
