"""The thread of a manager's event loop, whoever ends it."""

from __future__ import annotations

import asyncio
import threading

from inference.local.loop_thread import LoopThread

WAIT_S = 10.0


async def nothing() -> None: ...


def test_a_finalizer_in_the_thread_itself_ends_it_after_the_last_coroutine() -> None:
    thread = LoopThread()
    done: list[str] = []

    async def last() -> None:
        await asyncio.sleep(0)
        done.append("last")

    async def collect_garbage() -> threading.Thread:
        thread.close(last())
        done.append("closed")
        return threading.current_thread()

    own = thread.submit(collect_garbage()).result(WAIT_S)
    own.join(WAIT_S)
    assert not own.is_alive()
    assert done == ["closed", "last"]


def test_a_stream_may_be_collected_in_a_thread_that_uses_the_loop() -> None:
    thread = LoopThread()
    thread.run(nothing())
    ended = threading.Event()

    async def end() -> None:
        ended.set()

    def collect_garbage() -> None:
        with thread._lock:
            thread.run_later(end())

    threading.Thread(target=collect_garbage, daemon=True).start()
    assert ended.wait(WAIT_S)
    thread.close(nothing())
