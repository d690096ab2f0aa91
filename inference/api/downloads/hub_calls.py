"""Calls to hubs, which take their time: in threads of their own.

The threads of the database stay free for other requests meanwhile.
"""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from llm_manager.lib.threads import with_live_connection

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")

#: More calls wait: a hub limits its clients anyway. A choice.
_THREADS = 4
_threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="hub")


async def in_hub_thread(call: Callable[[], _Result]) -> _Result:
    """Call it in such a thread, with the context of the caller."""
    context = contextvars.copy_context()
    work = partial(context.run, with_live_connection, call)
    return await asyncio.get_running_loop().run_in_executor(_threads, work)
